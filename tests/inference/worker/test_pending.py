"""Who waits for whom in a worker: pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.transport.messages import Generate
from inference.worker import pending as backlog_module
from inference.worker.pending import Backlog, Held

if TYPE_CHECKING:
    import pytest


def request(number: int, key: str, weight: float = 1, priority: int = 0) -> Generate:
    return Generate(
        request_id=f"{key}{number}",
        reply_to="web",
        prompt="",
        params=SamplingParams(),
        deadline=0,
        key=key,
        weight=weight,
        priority=priority,
    )


def backlog_of(*keys: str) -> Backlog:
    """Return a backlog of requests that came in this order, one a key's letter."""
    backlog = Backlog()
    for number, key in enumerate("".join(keys)):
        backlog.add(request(number, key))
    return backlog


def ids(line: list[Held]) -> list[str]:
    return [held.request_id for held in line]


def test_keys_take_turns() -> None:
    assert ids(backlog_of("aaaabb").first(5)) == ["a0", "b4", "a1", "b5", "a2"]


def test_a_key_of_twice_the_weight_has_two_turns() -> None:
    backlog = Backlog()
    for number in range(4):
        backlog.add(request(number, "a"))
        backlog.add(request(number, "b", weight=2))
    keys = [held.key for held in backlog.first(6)]
    assert Counter(keys) == {"b": 4, "a": 2}


def test_priority_orders_one_keys_requests_and_no_others() -> None:
    backlog = Backlog()
    backlog.add(request(0, "a"))
    backlog.add(request(1, "a", priority=-5))
    backlog.add(request(2, "b"))
    assert ids(backlog.first(3)) == ["a1", "b2", "a0"]


def test_the_flood_loses_its_newest_and_not_the_newcomer_of_another_key() -> None:
    backlog = backlog_of("aaaa", "b")
    assert backlog.last().request_id == "a3"


def test_of_a_flood_the_least_urgent_goes_first() -> None:
    backlog = backlog_of("aaa")
    backlog.add(request(3, "a", priority=-1))
    assert backlog.last().request_id == "a2"
    backlog.add(request(4, "a", priority=9))
    backlog.add(request(5, "a"))
    assert backlog.last().request_id == "a4"


def test_a_heavy_key_may_have_the_longer_backlog() -> None:
    backlog = backlog_of("aa")
    for number in range(3):
        backlog.add(request(number, "b", weight=2))
    assert backlog.last().request_id == "a1"


def test_of_keys_alike_the_newcomer_goes() -> None:
    assert backlog_of("abc").last().request_id == "c2"


def test_what_runs_or_is_gone_waits_no_more() -> None:
    backlog = backlog_of("aab")
    started = backlog.get("a0")
    assert started is not None
    backlog.start(started)
    backlog.start(started)
    assert (len(backlog), backlog.num_waiting) == (3, 2)
    assert backlog.remove("a0") is started
    assert backlog.remove("b2") is not None
    assert backlog.remove("b2") is None
    assert (len(backlog), backlog.num_waiting) == (1, 1)
    assert ids(backlog.first(9)) == ["a1"]


def test_what_waits_is_told_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100))
    backlog = Backlog(clock=lambda: float(next(times)))
    for number, key in enumerate("abbbcc"):
        backlog.add(request(number, key))
    assert backlog.by_key() == [
        {"key": "b", "count": 3, "position": 2, "since": 1.0},
        {"key": "c", "count": 2, "position": 3, "since": 4.0},
        {"key": "a", "count": 1, "position": 1, "since": 0.0},
    ]
    monkeypatch.setattr(backlog_module, "_REPORTED_KEYS", 1)
    assert backlog.by_key()[1:] == [
        {"key": None, "count": 3, "position": 1, "since": 0.0}
    ]


_weights = {"a": 1.0, "b": 2.0, "c": 0.5, "d": 1.0}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 1)), min_size=1))
def test_the_line_has_one_order_whoever_asks(arrivals: list[tuple[str, int]]) -> None:
    backlog = Backlog()
    for number, (key, priority) in enumerate(arrivals):
        held = backlog.add(request(number, key, _weights[key], priority))
    line = backlog.first(len(arrivals))
    assert len(line) == len(arrivals) == backlog.num_waiting
    assert backlog.position(held) == line.index(held)
    assert backlog.last() is line[-1]
    told = backlog.by_key()
    assert sum(entry["count"] for entry in told) == len(arrivals)
    for entry in told:
        assert line[entry["position"] - 1].key == entry["key"]
