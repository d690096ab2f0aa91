"""The order of pending requests in a worker: pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.engine.request import GenerationRequest
from inference.worker import pending as pending_module
from inference.worker.pending import AcceptedRequest, AcceptedRequests
from tests.fakes import Clock

if TYPE_CHECKING:
    import pytest


def request(
    number: int, key: str, weight: float = 1, priority: int = 0
) -> GenerationRequest:
    return GenerationRequest(
        f"{key}{number}",
        [],
        SamplingParams(),
        key=key,
        weight=weight,
        priority=priority,
    )


def accepted_of(*keys: str) -> AcceptedRequests:
    """Return accepted requests that came in this order, one a key's letter."""
    accepted = AcceptedRequests()
    for number, key in enumerate("".join(keys)):
        accepted.add(request(number, key), "web")
    return accepted


def ids(requests: list[AcceptedRequest]) -> list[str]:
    return [each.request_id for each in requests]


def test_keys_take_turns() -> None:
    assert ids(accepted_of("aaaabb").first(5)) == ["a0", "b4", "a1", "b5", "a2"]


def test_a_key_of_twice_the_weight_has_two_turns() -> None:
    accepted = AcceptedRequests()
    for number in range(4):
        accepted.add(request(number, "a"), "web")
        accepted.add(request(number, "b", weight=2), "web")
    keys = [each.key for each in accepted.first(6)]
    assert Counter(keys) == {"b": 4, "a": 2}


def test_priority_orders_one_keys_requests_and_no_others() -> None:
    accepted = AcceptedRequests()
    accepted.add(request(0, "a"), "web")
    accepted.add(request(1, "a", priority=-5), "web")
    accepted.add(request(2, "b"), "web")
    assert ids(accepted.first(3)) == ["a1", "b2", "a0"]


def test_the_flood_loses_its_newest_and_not_the_newcomer_of_another_key() -> None:
    accepted = accepted_of("aaaa", "b")
    assert accepted.last().request_id == "a3"


def test_of_a_flood_the_least_urgent_goes_first() -> None:
    accepted = accepted_of("aaa")
    accepted.add(request(3, "a", priority=-1), "web")
    assert accepted.last().request_id == "a2"
    accepted.add(request(4, "a", priority=9), "web")
    accepted.add(request(5, "a"), "web")
    assert accepted.last().request_id == "a4"


def test_a_heavy_key_may_have_more_pending_requests() -> None:
    accepted = accepted_of("aa")
    for number in range(3):
        accepted.add(request(number, "b", weight=2), "web")
    assert accepted.last().request_id == "a1"


def test_of_equal_keys_the_latest_request_is_last() -> None:
    assert accepted_of("abc").last().request_id == "c2"


def test_started_and_removed_requests_are_not_pending() -> None:
    accepted = accepted_of("aab")
    started = accepted.get("a0")
    assert started is not None
    accepted.start(started)
    accepted.start(started)
    assert (len(accepted), accepted.num_pending) == (3, 2)
    assert accepted.remove("a0") is started
    assert accepted.remove("b2") is not None
    assert accepted.remove("b2") is None
    assert (len(accepted), accepted.num_pending) == (1, 1)
    assert ids(accepted.first(9)) == ["a1"]


def test_pending_requests_are_counted_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100))
    accepted = AcceptedRequests(clock=lambda: float(next(times)))
    for number, key in enumerate("abbbcc"):
        accepted.add(request(number, key), "web")
    assert accepted.pending_by_key() == [
        {"key": "b", "count": 3, "position": 2, "since": 1.0},
        {"key": "c", "count": 2, "position": 3, "since": 4.0},
        {"key": "a", "count": 1, "position": 1, "since": 0.0},
    ]
    monkeypatch.setattr(pending_module, "_REPORTED_KEYS", 1)
    assert accepted.pending_by_key()[1:] == [
        {"key": None, "count": 3, "position": 1, "since": 0.0}
    ]


_weights = {"a": 1.0, "b": 2.0, "c": 0.5, "d": 1.0}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 1)), min_size=1))
def test_pending_requests_have_one_order_for_every_caller(
    arrivals: list[tuple[str, int]],
) -> None:
    accepted = AcceptedRequests()
    for number, (key, priority) in enumerate(arrivals):
        each = accepted.add(request(number, key, _weights[key], priority), "web")
    line = accepted.first(len(arrivals))
    assert len(line) == len(arrivals) == accepted.num_pending
    assert accepted.position(each) == line.index(each)
    assert accepted.last() is line[-1]
    entries = accepted.pending_by_key()
    assert sum(entry["count"] for entry in entries) == len(arrivals)
    for entry in entries:
        assert line[entry["position"] - 1].key == entry["key"]


def test_the_oldest_wait_leaves_out_preparation_and_what_waits_for_rest() -> None:
    clock = Clock()
    accepted = AcceptedRequests(clock=clock)
    assert accepted.oldest_wait_s() == 0
    for name, idle_only in (("idle", True), ("first", False), ("second", False)):
        request = GenerationRequest(name, [1], SamplingParams(), idle_only=idle_only)
        added = accepted.add(request, "web")
        clock.now += 5
        assert accepted.oldest_wait_s() == (5 if name == "second" else 0)
        accepted.prepared(added)
    clock.now += 3
    assert accepted.oldest_wait_s() == 8
    found = accepted.get("first")
    assert found is not None
    accepted.start(found)
    assert accepted.oldest_wait_s() == 3
