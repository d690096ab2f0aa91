"""What the measurements of a test say together: what passed, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.context_test.bisection import PRECISION, SANE_PRECISION, next_context
from inference.context_test.fill_time import SpeedAtDepth
from registry.models import ContextMeasurement

if TYPE_CHECKING:
    from collections.abc import Iterable

_PASSED = ContextMeasurement.Outcome.PASSED


class Results:
    """The measurements of one test, as they are now."""

    def __init__(self, rows: Iterable[ContextMeasurement]) -> None:
        every = list(rows)
        self.passed = [row for row in every if row.outcome == _PASSED]
        self.failed = [row for row in every if row.has_failed]
        #: Those whose answers say something: the model knows a fact in a short text.
        self._told = [row for row in self.passed if row.knows_control]
        self.speeds = [
            SpeedAtDepth.from_json(speed) for row in self.passed for speed in row.speeds
        ]

    @property
    def quiet_speeds(self) -> list[SpeedAtDepth]:
        """The speeds that were measured while the machine did nothing else."""
        return [
            SpeedAtDepth.from_json(speed)
            for row in self.passed
            if not row.was_beside
            for speed in row.speeds
        ]

    @property
    def tested_ctx(self) -> int | None:
        """The largest context that passed."""
        return max((row.n_ctx for row in self.passed), default=None)

    @property
    def failed_ctx(self) -> int | None:
        """The smallest context above that which failed."""
        tested = self.tested_ctx or 0
        above = (row.n_ctx for row in self.failed if row.n_ctx > tested)
        return min(above, default=None)

    @property
    def sane_ctx(self) -> int | None:
        """The largest context with sane answers; None if the model is too small."""
        if not self._told:
            return None
        return max((row.n_ctx for row in self._told if row.knows_fact), default=0)

    def next_largest(
        self, least: int, most: int, also_passed: Iterable[int] = ()
    ) -> int | None:
        """Return what to measure to find the largest that passes."""
        return next_context(
            [*(row.n_ctx for row in self.passed), *also_passed],
            [row.n_ctx for row in self.failed],
            least=least,
            most=most,
            precision=PRECISION,
        )

    def next_sane(self) -> int | None:
        """Return what to measure to find the largest with sane answers."""
        sizes = [row.n_ctx for row in self._told]
        if not sizes:
            return None
        return next_context(
            [row.n_ctx for row in self._told if row.knows_fact],
            [row.n_ctx for row in self._told if not row.knows_fact],
            least=min(sizes),
            most=max(sizes),
            precision=SANE_PRECISION,
        )
