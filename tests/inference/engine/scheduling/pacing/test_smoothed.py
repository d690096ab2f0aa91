from __future__ import annotations

import pytest

from inference.engine.scheduling.pacing.smoothed import Smoothed


def test_the_first_value_is_the_mean_and_twice_the_deviation() -> None:
    smoothed = Smoothed()
    smoothed.add(0.0)
    assert smoothed.above(4) == 0
    smoothed = Smoothed()
    smoothed.add(8.0)
    assert (smoothed.mean, smoothed.deviation) == (8, 4)


def test_it_follows_what_changes_for_good() -> None:
    smoothed = Smoothed()
    for value in [10.0] * 5 + [20.0] * 60:
        smoothed.add(value)
    assert smoothed.above(2) == pytest.approx(20, rel=0.01)


def test_what_varies_is_within_some_deviations() -> None:
    smoothed = Smoothed()
    for turn in range(200):
        smoothed.add(10.0 + turn % 3)
    assert smoothed.mean < 12 < smoothed.above(2)
