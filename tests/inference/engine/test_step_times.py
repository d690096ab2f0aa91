from __future__ import annotations

import pytest

from inference.engine.step_times import MAX_SLOWDOWN, MIN_CHUNK, StepTimes


def taught(*, decode_s: float, prefill_token_s: float) -> StepTimes:
    times = StepTimes()
    times.observe(8, 0, decode_s)
    times.observe(0, 100, 100 * prefill_token_s)
    return times


def test_a_prefill_that_nobody_waits_for_gets_the_whole_budget() -> None:
    assert taught(decode_s=0.01, prefill_token_s=0.01).chunk(0, 512) == 512


def test_a_step_with_prefill_stays_within_the_allowed_slowdown() -> None:
    times = taught(decode_s=0.030, prefill_token_s=0.001)
    chunk = times.chunk(8, 512)
    assert 0.030 + chunk * 0.001 <= MAX_SLOWDOWN * 0.030
    assert chunk == 45


def test_prefill_goes_on_even_where_it_is_slow() -> None:
    assert taught(decode_s=0.001, prefill_token_s=0.01).chunk(8, 512) == MIN_CHUNK


def test_a_chunk_never_exceeds_the_budget() -> None:
    assert taught(decode_s=1.0, prefill_token_s=0.001).chunk(8, 20) == 20
    assert StepTimes().chunk(8, 10) == 10


def test_it_follows_a_machine_that_becomes_slower() -> None:
    times = taught(decode_s=0.030, prefill_token_s=0.001)
    for _ in range(50):
        times.observe(0, 100, 100 * 0.004)
    assert times.chunk(8, 512) < 25


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
        times.observe(16, 0, 0.060)
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
