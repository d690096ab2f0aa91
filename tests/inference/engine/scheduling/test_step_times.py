from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.scheduling.step_times import (
    MAX_SLOWDOWN,
    MIN_CHUNK,
    Chunk,
    StepTimes,
)


def taught(*, decode_s: float, prefill_token_s: float) -> StepTimes:
    times = StepTimes()
    times.observe(8, [], decode_s)
    times.observe(0, [(100, 0)], 100 * prefill_token_s)
    return times


def test_a_prefill_that_nobody_waits_for_gets_the_whole_budget() -> None:
    assert taught(decode_s=0.01, prefill_token_s=0.01).chunk(0, 512).size == 512


def test_a_step_with_prefill_stays_within_the_allowed_slowdown() -> None:
    times = taught(decode_s=0.030, prefill_token_s=0.001)
    chunk = times.chunk(8, 512).size
    assert 0.030 + chunk * 0.001 <= MAX_SLOWDOWN * 0.030
    assert chunk == 45


def test_a_few_streams_wait_longer_for_many_that_want_to_begin() -> None:
    times = taught(decode_s=0.030, prefill_token_s=0.001)
    assert times.chunk(8, 512, waiting=8).size == 45
    assert times.chunk(8, 512, waiting=24).size == pytest.approx(195, abs=1)


def test_prefill_continues_even_where_it_is_slow() -> None:
    assert taught(decode_s=0.001, prefill_token_s=0.01).chunk(8, 512).size == MIN_CHUNK


def test_a_chunk_never_exceeds_the_budget() -> None:
    assert taught(decode_s=1.0, prefill_token_s=0.001).chunk(8, 20).size == 20
    assert StepTimes().chunk(8, 10).size == 10


def test_it_follows_a_machine_that_becomes_slower() -> None:
    times = taught(decode_s=0.030, prefill_token_s=0.001)
    for _ in range(50):
        times.observe(0, [(100, 0)], 100 * 0.004)
    assert times.chunk(8, 512).size < 25


def test_a_step_is_fitted_by_a_line_through_what_was_seen() -> None:
    times = StepTimes()
    assert times.decode_s(4) is None
    times.calibrate(1, 0.010)
    assert not times.knows_batches
    assert times.decode_s(16) == pytest.approx(0.010)
    times.calibrate(16, 0.055)
    assert times.knows_batches
    assert times.decode_s(8) == pytest.approx(0.031)


def test_steps_of_one_size_do_not_make_it_forget_the_other_sizes() -> None:
    times = StepTimes()
    times.calibrate(1, 0.010)
    times.calibrate(16, 0.055)
    for _ in range(500):
        times.observe(16, [], 0.060)
    at_16, at_1 = times.decode_s(16), times.decode_s(1)
    assert at_16 == pytest.approx(0.060, rel=0.05)
    assert at_1 is not None
    assert 0 < at_1 < 0.03


def test_noise_never_says_that_more_sequences_take_less_time() -> None:
    times = StepTimes()
    times.calibrate(1, 0.050)
    times.calibrate(16, 0.010)
    one, many = times.decode_s(1), times.decode_s(16)
    assert one is not None
    assert many is not None
    assert one <= many


TILE = 64


def tiled(*, decode_s: float, short_s: float, tiled_s: float) -> StepTimes:
    """Return what knows the times at a depth of 1,000 tokens."""
    times = StepTimes(TILE)
    times.observe(8, [], decode_s)
    times.observe(0, [(32, 984)], 32 * short_s)
    times.observe(0, [(128, 936)], 128 * tiled_s)
    return times


def test_where_short_pieces_waste_time_a_chunk_is_a_tile_at_least() -> None:
    times = tiled(decode_s=0.030, short_s=0.011, tiled_s=0.002)
    assert times.chunk(8, 512, 1000).size == TILE


def test_a_chunk_has_as_many_tiles_as_the_decodes_can_bear() -> None:
    times = tiled(decode_s=0.300, short_s=0.011, tiled_s=0.002)
    assert times.chunk(8, 512, 1000).size == 3 * TILE


def test_short_pieces_that_are_nearly_as_good_spare_the_decodes() -> None:
    times = tiled(decode_s=0.030, short_s=0.0012, tiled_s=0.001)
    assert times.chunk(8, 512, 1000) == Chunk(37)


def test_with_a_prefill_context_short_pieces_waste_nothing() -> None:
    times = tiled(decode_s=0.030, short_s=0.0025, tiled_s=0.0018)
    times.has_prefill_context = True
    assert times.chunk(8, 512, 1000) == Chunk(18)


def test_short_pieces_are_tried_before_it_is_known_what_they_take() -> None:
    times = StepTimes(TILE)
    times.observe(8, [], 0.030)
    times.observe(0, [(128, 0)], 128 * 0.001)
    assert times.chunk(8, 512, 1000) == Chunk(45)


def test_no_end_of_a_prompt_is_left_that_is_less_than_a_tile() -> None:
    chunk = Chunk(65, least=65)
    assert chunk.piece(1500, budget=500) == 65
    assert chunk.piece(100, budget=500) == 100
    assert chunk.piece(100, budget=90) == 35
    assert Chunk(512, least=64).piece(530, budget=512) == 466
    assert chunk.piece(10, budget=500) == 10
    assert chunk.without(65).piece(10, budget=435) == 0


@given(
    st.integers(1, 3000), st.integers(0, 600), st.integers(0, 600), st.integers(1, 130)
)
def test_a_piece_is_within_the_budget_and_the_prompt_gets_done(
    rest: int, size: int, budget: int, least: int
) -> None:
    piece = Chunk(size, least).piece(rest, budget)
    assert 0 <= piece <= min(rest, budget)
    assert piece > 0 or not size or not budget
