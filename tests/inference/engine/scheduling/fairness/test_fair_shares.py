from __future__ import annotations

from inference.engine.scheduling.fairness.fair_shares import (
    MAX_INTERFERENCE,
    KeyDemand,
    fair_shares,
)


def cpu_step(count: int) -> float:
    return 0.007 + 0.0027 * count


def gpu_step(count: int) -> float:
    return 0.020 + 0.0001 * count


def test_a_key_alone_gets_all_slots() -> None:
    alone = {"a": KeyDemand(64)}
    granted = fair_shares(alone, n_seq_max=32, step_seconds=cpu_step)
    assert granted == {"a": 32}


def test_slots_are_shared_by_weight() -> None:
    granted = fair_shares(
        {"a": KeyDemand(64, weight=3.0), "b": KeyDemand(64)},
        n_seq_max=32,
        step_seconds=None,
    )
    assert granted == {"a": 24, "b": 8}


def test_slots_that_one_key_does_not_need_go_to_the_others() -> None:
    granted = fair_shares(
        {"a": KeyDemand(64), "b": KeyDemand(64), "c": KeyDemand(2)},
        n_seq_max=32,
        step_seconds=None,
    )
    assert granted == {"a": 15, "b": 15, "c": 2}


def test_a_heavy_key_does_not_slow_a_light_one_beyond_the_bound() -> None:
    granted = fair_shares(
        {"heavy": KeyDemand(64), "light": KeyDemand(1)},
        n_seq_max=32,
        step_seconds=cpu_step,
    )
    assert granted == {"light": 1, "heavy": 2}
    assert cpu_step(3) <= MAX_INTERFERENCE * cpu_step(1) < cpu_step(4)


def test_where_a_larger_batch_costs_nothing_nobody_is_held_back() -> None:
    granted = fair_shares(
        {"heavy": KeyDemand(64), "light": KeyDemand(4)},
        n_seq_max=32,
        step_seconds=gpu_step,
    )
    assert granted == {"heavy": 28, "light": 4}


def test_a_heavy_key_gets_at_least_an_even_share() -> None:
    granted = fair_shares(
        {"heavy": KeyDemand(64), "light": KeyDemand(4)},
        n_seq_max=32,
        step_seconds=lambda count: float(count),
    )
    assert granted == {"heavy": 4, "light": 4}


def test_keys_that_want_the_same_are_not_held_back() -> None:
    granted = fair_shares(
        {"a": KeyDemand(4), "b": KeyDemand(4)}, n_seq_max=32, step_seconds=cpu_step
    )
    assert granted == {"a": 4, "b": 4}
