"""How long a context takes to fill."""

from __future__ import annotations

import pytest

from inference.context_test.fill_time import (
    SpeedAtDepth,
    affordable_context,
    fill_seconds,
)


def speeds(*points: tuple[int, float]) -> list[SpeedAtDepth]:
    return [SpeedAtDepth(depth, prefill, 10.0) for depth, prefill in points]


def test_nothing_is_known_without_speeds() -> None:
    assert fill_seconds([], 1000) is None
    assert affordable_context([], 1000, 1.0) == 1000


def test_at_a_constant_speed_time_grows_with_the_tokens() -> None:
    assert fill_seconds(speeds((100, 50.0), (1000, 50.0)), 2000) == pytest.approx(40.0)


def test_the_cost_of_depth_is_summed_up() -> None:
    # A token takes 1 ms, and 1 us more for each token before it.
    points = speeds(*((d, 1 / (0.001 + d * 1e-6)) for d in (100, 500, 1000)))
    assert fill_seconds(points, 10_000) == pytest.approx(10 + 50)


def test_deeper_tokens_are_never_projected_to_be_faster() -> None:
    noisy = speeds((100, 40.0), (1000, 60.0))
    seconds = [fill_seconds(noisy, n) or 0 for n in (1000, 2000, 4000)]
    assert seconds[1] == pytest.approx(2 * seconds[0])
    assert seconds[2] == pytest.approx(4 * seconds[0])


def test_what_is_affordable_takes_the_time_that_there_is() -> None:
    constant = speeds((100, 50.0), (1000, 50.0))
    assert affordable_context(constant, 10_000, 60.0) == 3000
    assert affordable_context(constant, 2000, 60.0) == 2000
