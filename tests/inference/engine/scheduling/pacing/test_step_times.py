from __future__ import annotations

import pytest

from inference.engine.scheduling.pacing.step_times import MAX_SLOWDOWN, StepTimes

#: Seconds of a pass through the model, and of a token of a prompt.
FIXED_S, TOKEN_S = 0.002, 0.001


def prefill_s(size: int) -> float:
    return FIXED_S + size * TOKEN_S


def taught(*, decode_s: float = 0.030, target_s: float = 0.0) -> StepTimes:
    times = StepTimes(itl_target_s=target_s)
    times.observe(8, [], decode_s)
    for size in (16, 64):
        times.calibrate_prefill(size, 0, prefill_s(size))
    for _ in range(400):
        times.observe(8, [(32, 0)], decode_s + prefill_s(32))
    return times


def step_s(times: StepTimes, *, decode_s: float, waiting: int = 1) -> float:
    """Return the seconds of a step of eight decodes and a long prompt's piece."""
    size = times.room(8, 512, waiting=waiting).piece(4000, 0)
    return decode_s + prefill_s(size)


def test_a_prefill_that_nobody_waits_for_gets_the_whole_budget() -> None:
    assert taught().room(0, 512).piece(4000, 0) == 512


def test_without_a_target_a_step_stays_within_the_allowed_slowdown() -> None:
    took = step_s(taught(), decode_s=0.030)
    assert took == pytest.approx(MAX_SLOWDOWN * 0.030, rel=0.03)
    assert took <= MAX_SLOWDOWN * 0.030


def test_with_a_target_a_step_takes_as_long_as_that() -> None:
    took = step_s(taught(decode_s=0.014, target_s=0.060), decode_s=0.014)
    assert took == pytest.approx(0.060, abs=0.002)
    assert took <= 0.060


def test_a_target_below_the_allowed_slowdown_changes_nothing() -> None:
    assert step_s(taught(target_s=0.040), decode_s=0.030) == step_s(
        taught(), decode_s=0.030
    )


def test_where_steps_overrun_they_are_planned_shorter_to_keep_the_p95() -> None:
    precise = taught(decode_s=0.014, target_s=0.100)
    late = taught(decode_s=0.014, target_s=0.100)
    for number in range(400):
        # One step in five takes half as long again.
        factor = 1.5 if number % 5 == 0 else 1.0
        late.observe(8, [(32, 0)], (0.014 + prefill_s(32)) * factor)
    assert late.room(8, 512).seconds < precise.room(8, 512).seconds


def test_a_p95_leaves_a_step_in_twenty_that_may_take_longer_to_end_a_prompt() -> None:
    times = taught(decode_s=0.014, target_s=0.060)

    def end(size: int) -> None:
        assert times.room(8, 512).piece(size, 0) == size
        times.observe(8, [(size, 0)], 0.014 + prefill_s(size))

    # Nothing else takes longer, and no end takes six times the target.
    assert times.room(8, 512).piece(800, 0) < 50
    assert times.room(8, 512).piece(350, 0) < 50
    # After a long time without, there are four of them.
    for _ in range(4):
        end(280)
    for _ in range(20):
        assert times.room(8, 512).piece(80, 0) < 50
        times.observe(8, [], 0.014)
    end(80)


def test_where_a_step_takes_long_by_itself_some_may_take_longer_all_the_same() -> None:
    times = taught(decode_s=0.040, target_s=0.060)
    # Whatever is planned beside prompts takes more than the target, so that is usual.
    for _ in range(80):
        times.observe(8, [(32, 0)], 0.040 + prefill_s(32))
    # Five times a step without prompts is less than five times the target.
    assert times.room(8, 512).piece(200, 0) == 200
    assert times.room(8, 512).piece(300, 0) < 60
    slower = taught(decode_s=0.080, target_s=0.060)
    assert slower.room(8, 512).piece(300, 0) == 300


def test_a_long_step_is_a_gap_for_each_stream_that_waits_for_it() -> None:
    times = taught(decode_s=0.014, target_s=0.060)
    for _ in range(4):
        times.observe(8, [(280, 0)], 0.014 + prefill_s(280))
    for _ in range(10):
        times.observe(8, [], 0.014)
    # That was enough for a few of the streams, and is not for all.
    assert times.room(4, 512).piece(80, 0) == 80
    assert times.room(8, 512).piece(80, 0) < 60


def test_without_a_target_no_step_may_take_longer() -> None:
    assert taught(decode_s=0.014).room(8, 512).piece(80, 0) < 50


def test_a_few_streams_wait_longer_for_many_that_want_to_begin() -> None:
    times = taught()
    alike = step_s(times, decode_s=0.030, waiting=8)
    assert alike == step_s(times, decode_s=0.030)
    assert step_s(times, decode_s=0.030, waiting=24) == pytest.approx(
        3 * MAX_SLOWDOWN * 0.030, rel=0.03
    )


def test_for_many_that_want_to_begin_a_step_takes_so_many_times_the_target() -> None:
    times = taught(decode_s=0.014, target_s=0.060)
    took = step_s(times, decode_s=0.014, waiting=24)
    assert took == pytest.approx(3 * 0.060, rel=0.03)


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


def test_pieces_of_tiles_and_shorter_ones_are_learned_apart() -> None:
    times = StepTimes(64)
    times.observe(8, [], 0.030)
    for size in (16, 64):
        times.calibrate_prefill(size, 0, prefill_s(size))
    times.observe(0, [(128, 936)], 128 * 0.002)
    times.observe(0, [(32, 984)], 32 * 0.011)
    # A shorter piece would take longer than a tile.
    assert times.room(8, 512).piece(4000, 1000) == 64
    times.has_prefill_context = True
    assert times.room(8, 512).piece(4000, 1000, is_long=True) == 16


def test_more_tokens_of_long_sequences_are_expected_to_take_what_tokens_take() -> None:
    times = StepTimes()
    times.calibrate(1, 0.010)
    times.calibrate(16, 0.025)
    # The machine has become slower, which the lengths may seem to explain.
    for length in range(100, 200):
        times.observe(1, [], 0.020, depth=length)
    one, more, none = (times.decode_s(count) or 0.0 for count in (1, 5, 0))
    assert one == pytest.approx(0.020, rel=0.1)
    assert one <= more < one + 0.008
    assert 0 < none <= one


def test_without_a_warm_up_numbers_of_sequences_are_compared_as_observed() -> None:
    times = StepTimes()
    for _ in range(50):
        times.observe(1, [], 0.010, depth=10)
        times.observe(4, [], 0.040, depth=10)
    one_s, four_s = times.short_s(1), times.short_s(4)
    assert one_s is not None
    assert four_s is not None
    assert four_s > 3 * one_s
