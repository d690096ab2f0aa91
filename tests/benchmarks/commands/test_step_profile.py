"""The stopwatch of the step profile."""

from __future__ import annotations

import pytest

from benchmarks.commands.step_profile import Stopwatch, part_of


class FakeClock:
    """Time that passes only when a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("benchmarks.commands.step_profile.clock", clock)
    return clock


def test_a_call_within_a_call_counts_for_itself(clock: FakeClock) -> None:
    stopwatch = Stopwatch()

    def take(seconds: float) -> None:
        clock.now += seconds

    inner = stopwatch.timed("inner", take)

    def outer() -> str:
        take(1.0)
        inner(2.0)
        inner(4.0)
        return "done"

    assert stopwatch.timed("outer", outer)() == "done"
    assert stopwatch.seconds == {"outer": 1.0, "inner": 6.0}


def test_a_call_that_fails_counts(clock: FakeClock) -> None:
    stopwatch = Stopwatch()

    def fail() -> None:
        clock.now += 3.0
        raise ValueError

    with pytest.raises(ValueError):
        stopwatch.timed("part", fail)()
    assert stopwatch.seconds == {"part": 3.0}


@pytest.mark.parametrize(
    ("binding", "part"),
    [
        ("llama_decode", "llama_decode"),
        ("llama_sampler_sample", "sampling"),
        ("llama_get_logits_ith", "other C calls"),
        ("LLAMA_DEFAULT_SEED", None),
    ],
)
def test_part_by_name(binding: str, part: str | None) -> None:
    assert part_of(binding) == part
