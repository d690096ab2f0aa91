from __future__ import annotations

from llm_manager.lib.clocks.awake_clock import LONGEST_STEP_AT_REST_S, AwakeClock
from tests.fakes import Clock


def test_a_clock_that_is_read_every_second_counts_every_second() -> None:
    real = Clock()
    clock = AwakeClock(clock=real)
    for _ in range(100):
        real.now += 1
        clock()
    assert clock() == 100


def test_a_clock_that_is_read_more_seldom_counts_that_too() -> None:
    real = Clock()
    clock = AwakeClock(longest_step_s=LONGEST_STEP_AT_REST_S, clock=real)
    for _ in range(10):
        real.now += 3
        clock()
    assert clock() == 30


def test_of_a_pause_only_two_seconds_count() -> None:
    real = Clock()
    clock = AwakeClock(clock=real)
    real.now += 1
    before = clock()
    real.now += 3600
    assert clock() == before + 2
