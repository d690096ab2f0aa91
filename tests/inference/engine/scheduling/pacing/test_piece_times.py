from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.scheduling.pacing.piece_times import PieceCost, PieceTimes


def test_the_three_parts_of_a_pieces_time_are_learned() -> None:
    cost = PieceCost(fixed_s=0.005, token_s=0.001, depth_s=2e-6)
    times = PieceTimes()
    for size, start in [(16, 0), (64, 0), (32, 500), (48, 1200), (16, 900)]:
        times.observe([(size, start)], cost.seconds(size, start))
    learned = times.cost
    assert learned is not None
    assert learned.fixed_s == pytest.approx(cost.fixed_s)
    assert learned.token_s == pytest.approx(cost.token_s)
    assert learned.depth_s == pytest.approx(cost.depth_s)


def test_several_pieces_of_a_step_each_have_the_fixed_part() -> None:
    cost = PieceCost(fixed_s=0.005, token_s=0.001)
    times = PieceTimes()
    times.observe([(16, 0), (32, 0)], cost.seconds(16, 0) + cost.seconds(32, 0))
    times.observe([(64, 0)], cost.seconds(64, 0))
    assert times.cost is not None
    assert times.cost.fixed_s == pytest.approx(cost.fixed_s)


def test_nothing_is_known_before_anything_is_measured() -> None:
    assert PieceTimes().cost is None


def test_one_measurement_says_what_an_equal_piece_takes() -> None:
    times = PieceTimes()
    times.calibrate(64, 0, 0.08)
    assert times.cost is not None
    assert times.cost.seconds(64, 0) == pytest.approx(0.08)


def test_it_follows_a_machine_that_becomes_slower() -> None:
    times = PieceTimes()
    for size in (16, 64):
        times.calibrate(size, 0, 0.001 * size)
    for _ in range(50):
        times.observe([(48, 0)], 0.004 * 48)
    assert times.cost is not None
    assert times.cost.seconds(48, 0) > 0.003 * 48


@given(
    st.lists(
        st.tuples(st.integers(1, 512), st.integers(0, 8000), st.floats(1e-4, 10)),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_was_measured_no_part_is_negative(
    measured: list[tuple[int, int, float]],
) -> None:
    times = PieceTimes()
    for size, start, seconds in measured:
        times.observe([(size, start)], seconds)
    cost = times.cost
    assert cost is not None
    assert min(cost.fixed_s, cost.token_s, cost.depth_s) >= 0
    assert cost.seconds(16, 0) > 0


@given(
    st.floats(0, 0.1),
    st.floats(1e-5, 0.1),
    st.floats(0, 1e-4),
    st.floats(0.001, 10),
    st.integers(0, 4000),
)
def test_what_fits_takes_no_longer_and_one_more_token_does(
    fixed_s: float, token_s: float, depth_s: float, seconds: float, start: int
) -> None:
    cost = PieceCost(fixed_s, token_s, depth_s)
    size = cost.tokens(seconds, start)
    if size:
        assert cost.seconds(size, start) <= seconds * (1 + 1e-9)
    assert cost.seconds(size + 1, start) >= seconds * (1 - 1e-9)
