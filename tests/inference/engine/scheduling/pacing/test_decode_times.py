from __future__ import annotations

import pytest

from inference.engine.scheduling.pacing.decode_times import DecodeTimes

FIXED_S, EACH_S, ATTENTION_S = 0.006, 0.0015, 6e-6


def step_s(count: int, depth: int) -> float:
    return FIXED_S + count * EACH_S + depth * ATTENTION_S


def taught() -> DecodeTimes:
    """Return times of a machine that has decoded eight sequences that grow."""
    times = DecodeTimes()
    for count in (1, 16):
        times.calibrate(count, step_s(count, 0))
    for position in range(100, 400):
        times.observe(8, 8 * position, step_s(8, 8 * position))
    return times


def test_nothing_is_known_before_anything_is_measured() -> None:
    assert DecodeTimes().seconds(4, 0) is None


def test_long_sequences_take_longer_than_short_ones() -> None:
    times = taught()
    assert times.seconds(8, 8 * 100) == pytest.approx(step_s(8, 800), rel=0.02)
    assert times.seconds(8, 8 * 800) == pytest.approx(step_s(8, 6400), rel=0.02)


def test_what_long_sequences_take_is_known_of_other_numbers_of_them() -> None:
    assert taught().seconds(16, 16 * 500) == pytest.approx(step_s(16, 8000), rel=0.05)


def test_it_follows_a_machine_that_becomes_slower() -> None:
    times = taught()
    for position in range(400, 600):
        times.observe(8, 8 * position, 3 * step_s(8, 8 * position))
    slow_s = times.seconds(8, 8 * 600)
    assert slow_s is not None
    assert slow_s > 2.5 * step_s(8, 8 * 600)


def test_where_a_machine_becomes_slower_more_sequences_still_take_longer() -> None:
    times = DecodeTimes()
    for count in (1, 16):
        times.calibrate(count, step_s(count, 0))
    for position in range(100, 300):
        times.observe(4, 4 * position, 3 * step_s(4, 4 * position))
    one_s, five_s = times.seconds(1, 0), times.seconds(5, 0)
    assert one_s is not None
    assert five_s is not None
    assert five_s / one_s == pytest.approx(step_s(5, 0) / step_s(1, 0), rel=0.1)


def test_steps_of_few_sequences_are_compared_as_the_warm_up_measured_them() -> None:
    times = DecodeTimes()
    for count, seconds in ((1, 0.006), (4, 0.015), (16, 0.039)):
        times.calibrate(count, seconds)
    # Long sequences take longer, however many there are.
    for position in range(200, 300):
        times.observe(3, 3 * position, 0.1)
    assert times.short_seconds(1) == pytest.approx(0.006)
    assert times.short_seconds(2) == pytest.approx(0.009)
    assert times.short_seconds(10) == pytest.approx(0.027)
    assert times.short_seconds(20) == pytest.approx(0.047)


def test_later_steps_mend_a_warm_up_that_something_else_disturbed() -> None:
    times = DecodeTimes()
    # One sequence in twice the time.
    for count, seconds in ((1, 0.012), (4, 0.015), (16, 0.039)):
        times.calibrate(count, seconds)
    for position in range(7):
        times.observe(1, position, 0.006)
    # A few steps may be chance.
    assert times.short_seconds(1) == pytest.approx(0.012)
    times.observe(1, 7, 0.006)
    assert times.short_seconds(1) == pytest.approx(0.006)
    for position in range(8):
        times.observe(4, 4 * position, 0.015)
    assert times.short_seconds(4) == pytest.approx(0.015)
    assert times.short_seconds(2) == pytest.approx(0.009)


def test_later_steps_set_the_pace_of_numbers_that_did_not_come_again() -> None:
    times = DecodeTimes()
    for count, seconds in ((1, 0.006), (4, 0.015), (16, 0.039)):
        times.calibrate(count, seconds)
    for position in range(8):
        times.observe(4, 4 * position, 0.030)
    assert times.short_seconds(1) == pytest.approx(0.012)
    assert times.short_seconds(16) == pytest.approx(0.078)
