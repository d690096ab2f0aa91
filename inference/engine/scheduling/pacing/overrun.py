"""How much longer than expected a step takes, at worst."""

from __future__ import annotations

#: The share of steps that may take longer: those that a p95 leaves out.
_QUANTILE = 0.95
#: How far one step moves the estimate. From a sudden change it recovers in some fifty.
_STEP = 0.02
#: What a busy machine adds beyond this factor is no reason for shorter steps.
_MOST = 1.5


class Overrun:
    """Estimates the p95 of the actual over the expected seconds of steps.

    A step above the estimate raises it by 19 times as much as one below lowers it, so
    it settles where one in twenty is above.
    """

    def __init__(self) -> None:
        #: At least 1, at most 1.5.
        self.factor = 1.1

    def observe(self, seconds: float, expected_s: float) -> None:
        """Add a step."""
        is_above = seconds > self.factor * expected_s
        self.factor += _STEP * (_QUANTILE if is_above else _QUANTILE - 1)
        self.factor = min(max(self.factor, 1.0), _MOST)
