from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.scheduling.pacing.warm_up import warm_up
from tests.inference.engine.timed import TimedBackend

if TYPE_CHECKING:
    from inference.engine.step import Sampled, StepPlan


class DisturbedBackend(TimedBackend):
    """One whose first steps take four times as long: something else runs."""

    def __init__(self, num_slow: int) -> None:
        super().__init__()
        self._num_slow = num_slow

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        start = self.now
        sampled = super().decode(plan)
        if self._num_slow:
            self._num_slow -= 1
            self.now += 3 * (self.now - start)
        return sampled


def measured(num_slow: int) -> dict[int, float]:
    backend = DisturbedBackend(num_slow)
    found = warm_up(backend, lambda: backend.now).decodes
    return {count: round(seconds, 6) for count, seconds in found}


def test_a_moment_in_which_something_else_runs_changes_no_measurement() -> None:
    undisturbed = measured(0)
    assert len(undisturbed) > 2
    # Three steps of one sequence, one after the other, would all be slow.
    assert measured(4) == undisturbed
