"""What has time is done at the same moments by all processes of a machine."""

from __future__ import annotations

import pytest

from llm_manager.lib.clocks.whole_times import until_next


@pytest.mark.parametrize("now", [0.0, 0.3, 1.0, 1.7, 100.25, 98765.4321])
@pytest.mark.parametrize("every_s", [0.01, 2.0, 3.0, 8.0])
def test_whoever_waits_wakes_up_at_a_multiple(now: float, every_s: float) -> None:
    then = (now + until_next(every_s, clock=lambda: now)) / every_s
    assert then == pytest.approx(round(then), abs=1e-6)


def test_a_timer_that_is_early_is_not_set_for_the_same_time_again() -> None:
    assert until_next(2.0, clock=lambda: 5.9999) == pytest.approx(2.0001)
    assert until_next(2.0, clock=lambda: 6.0001) == pytest.approx(1.9999)


def test_what_is_done_all_the_time_is_done_at_once() -> None:
    assert until_next(0) == 0
