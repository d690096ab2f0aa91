"""The scripts in Redis: what is taken, given back, kept and forgotten."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from django.conf import settings

from accounts.limits.counting.redis_client import redis_client
from accounts.limits.counting.store import (
    Counter,
    places_of,
    renew,
    settle,
    take,
)
from accounts.models import LimitKind
from tests.accounts.limits.counting.rules import counter, make_rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def client() -> Any:
    redis_client().flushdb()
    return redis_client()


@pytest.fixture
async def aclient() -> AsyncIterator[Any]:
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as asynchronous:
        yield asynchronous


def test_a_hundred_clients_at_once_get_what_a_bucket_has_and_what_refills(
    client: Any,
) -> None:
    rule = make_rule(LimitKind.REQUESTS_MINUTE, 60)

    def ask(number: int) -> tuple[bool, float]:
        taken = take(client, f"r{number}", [counter(rule, 1)])
        return taken.is_taken, taken.now

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(100)))

    times = [now for _, now in answers]
    refilled = max(times) - min(times)  # One a second.
    got = sum(is_taken for is_taken, _ in answers)
    assert 60 <= got <= 60 + math.floor(refilled)


def test_a_refused_request_takes_nothing_from_any_limit(client: Any) -> None:
    wide, narrow = (
        make_rule(LimitKind.REQUESTS_MINUTE, 100),
        make_rule(LimitKind.TOKENS_MINUTE, 50),
    )
    places = make_rule(LimitKind.PARALLEL, 5)
    budget = make_rule(LimitKind.TOKENS_DAY, 1000)
    asked = [
        counter(wide, 1),
        counter(places, 1),
        counter(budget, 60, spent=0),
        counter(narrow, 60),
    ]

    refused = take(client, "r", asked)
    seen = take(client, "r", [*asked[:3], counter(narrow, 50)], peek=True)

    assert not refused.is_taken
    assert [state.is_enough for state in refused.states] == [True, True, True, False]
    assert [state.left for state in seen.states] == [100, 5, 1000, 50]


def test_retry_after_is_true_to_a_second(client: Any) -> None:
    rule = make_rule(LimitKind.REQUESTS_MINUTE, 1, window_s=2)
    before = time.monotonic()
    assert take(client, "a", [counter(rule, 1)]).is_taken
    (state,) = take(client, "b", [counter(rule, 1)]).states
    after = time.monotonic()
    assert 2 - (after - before) - 0.1 < state.wait_s < 2.1

    while True:
        asked = time.monotonic()
        if take(client, "c", [counter(rule, 1)]).is_taken:
            break
        # Who asks after that time is let in, however slow the machine is.
        assert asked < after + state.wait_s + 0.1
    assert time.monotonic() > before + state.wait_s - 0.1


async def test_the_end_of_a_request_gives_back_what_was_reserved_too_much_once(
    client: Any, aclient: Any
) -> None:
    tokens = make_rule(LimitKind.TOKENS_MINUTE, 1000, window_s=3600)
    budget = make_rule(LimitKind.TOKENS_MONTH, 5000)
    asked = [counter(tokens, 800), counter(budget, 800, spent=100)]
    assert take(client, "r", asked).is_taken

    for _ in range(3):
        await settle(aclient, "r", [(each, 300) for each in asked])

    assert _left(client, tokens, budget) == [700, 4600]


async def test_an_answer_longer_than_its_estimate_makes_a_debt(
    client: Any, aclient: Any
) -> None:
    rule = make_rule(LimitKind.TOKENS_MINUTE, 1000, window_s=3600)
    assert take(client, "r", [counter(rule, 100)]).is_taken

    await settle(aclient, "r", [(counter(rule, 100), 1500)])

    (state,) = take(client, "next", [counter(rule, 1)]).states
    assert (state.is_enough, state.left) == (False, -500)
    # 501 of 1000 tokens an hour.
    assert state.wait_s == pytest.approx(0.501 * 3600, rel=0.01)


async def test_only_as_many_requests_run_at_once_and_an_end_makes_room(
    client: Any, aclient: Any
) -> None:
    rule = make_rule(LimitKind.PARALLEL, 3)
    two = [counter(rule, 2)]
    assert take(client, "a", two).is_taken
    assert not take(client, "b", two).is_taken
    assert take(client, "c", [counter(rule, 1)]).is_taken
    assert not take(client, "d", [counter(rule, 1)]).is_taken

    await settle(aclient, "a", [(two[0], 0)])

    assert take(client, "e", two).is_taken


async def test_a_place_that_nobody_renews_lapses_and_a_renewed_one_stays(
    client: Any, aclient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long beside the pauses of a busy machine: the kept one is renewed in time.
    monkeypatch.setattr("accounts.limits.counting.store.LEASE_S", 2)
    rule = make_rule(LimitKind.PARALLEL, 2)
    kept, left = [counter(rule, 1)], [counter(rule, 1)]
    assert take(client, "kept", kept).is_taken
    assert take(client, "left", left).is_taken
    started = time.monotonic()

    while not take(client, "next", [counter(rule, 1)]).is_taken:
        await renew(aclient, places_of("kept", kept))
        await asyncio.sleep(0.02)

    assert time.monotonic() - started > 1.8
    assert client.zscore(kept[0].key, "kept#1") is not None
    assert client.zscore(kept[0].key, "left#1") is None


async def test_a_place_that_was_given_up_is_not_renewed(
    client: Any, aclient: Any
) -> None:
    rule = make_rule(LimitKind.PARALLEL, 1)
    place = [counter(rule, 1)]
    assert take(client, "a", place).is_taken
    await settle(aclient, "a", [(place[0], 0)])

    await renew(aclient, places_of("a", place))

    assert take(client, "b", place).is_taken


def test_a_budget_is_loaded_once_and_then_known(client: Any) -> None:
    rule = make_rule(LimitKind.TOKENS_MONTH, 1000)

    unknown = take(client, "a", [counter(rule, 100)])
    loaded = take(client, "a", [counter(rule, 100, spent=850)])
    refused = take(client, "b", [counter(rule, 100, spent=0)])

    assert (unknown.is_missing, unknown.is_taken) == (True, False)
    assert loaded.is_taken
    assert (refused.is_taken, refused.states[0].left) == (False, 50)


async def test_after_a_restart_of_redis_a_running_request_is_added_to_its_budget(
    client: Any, aclient: Any
) -> None:
    rule = make_rule(LimitKind.TOKENS_MONTH, 1000)
    before = counter(rule, 400, spent=0)
    assert take(client, "before", [before]).is_taken
    client.flushdb()
    # Somebody else's request loads the budget: the running one has no row yet.
    assert take(client, "other", [counter(rule, 10, spent=0)]).is_taken

    await settle(aclient, "before", [(before, 300)])
    await settle(aclient, "before", [(before, 300)])

    assert _left(client, rule) == [690]


def test_a_clock_in_another_day_is_told_the_time(client: Any) -> None:
    rule = make_rule(LimitKind.TOKENS_DAY, 1000)
    today = counter(rule, 10, spent=0)
    assert today.period is not None
    length = today.period.end - today.period.start
    wrong = Counter(
        rule,
        10,
        type(today.period)(today.period.start - length, today.period.start),
        0,
    )

    taken = take(client, "a", [wrong])

    assert taken.is_other_time
    assert not taken.is_taken
    assert taken.now == pytest.approx(time.time(), abs=5)


def test_a_limit_that_is_raised_or_lowered_goes_on_from_what_is_left(
    client: Any,
) -> None:
    rule = make_rule(LimitKind.REQUESTS_MINUTE, 10, window_s=3600)
    assert take(client, "a", [counter(rule, 8)]).is_taken
    raised = make_rule(LimitKind.REQUESTS_MINUTE, 20, window_s=3600, slot=rule.slot)
    lowered = make_rule(LimitKind.REQUESTS_MINUTE, 1, window_s=3600, slot=rule.slot)

    assert _left(client, raised) == [2]
    assert _left(client, lowered) == [1]


def test_a_restarted_redis_knows_the_scripts_again(client: Any) -> None:
    rule = make_rule(LimitKind.REQUESTS_MINUTE, 10)
    assert take(client, "a", [counter(rule, 1)]).is_taken

    client.script_flush()

    assert take(client, "b", [counter(rule, 1)]).is_taken


def _left(client: Any, *rules: Any) -> list[int]:
    asked = [counter(rule, 0) for rule in rules]
    return [state.left for state in take(client, "", asked, peek=True).states]
