"""The circuit breaker, by a clock that a test moves."""

from __future__ import annotations

import pytest

from inference.upstreams.breaker import CircuitBreaker


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause_s=10, clock=clock)


def open_it(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        breaker.fail()


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not(
    breaker: CircuitBreaker,
) -> None:
    for ended in (breaker.fail, breaker.fail, breaker.succeed, breaker.fail):
        ended()
    assert breaker.refuses_for() is None
    open_it(breaker)
    assert breaker.refuses_for() == 10
    assert breaker.is_open


def test_after_the_pause_one_request_tries(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    open_it(breaker)
    clock.now = 10
    assert breaker.refuses_for() is None
    assert breaker.refuses_for() == 10


def test_a_probe_that_is_answered_closes_it(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    open_it(breaker)
    clock.now = 10
    breaker.refuses_for()
    breaker.judge("refused")
    assert not breaker.is_open
    assert breaker.refuses_for() is None


def test_a_probe_that_fails_opens_it_again(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    open_it(breaker)
    clock.now = 10
    breaker.refuses_for()
    breaker.judge("timeout")
    assert breaker.refuses_for() == 10


def test_a_probe_whose_client_leaves_lets_the_next_one_try(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    open_it(breaker)
    clock.now = 10
    breaker.refuses_for()
    breaker.judge("abandoned")
    assert breaker.refuses_for() is None
