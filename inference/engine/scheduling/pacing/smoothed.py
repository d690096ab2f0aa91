"""A smoothed mean of what varies, and how far single values are from it."""

from __future__ import annotations

#: As TCP smooths round trips (RFC 6298, section 2).
_MEAN_GAIN, _DEVIATION_GAIN = 1 / 8, 1 / 4


class Smoothed:
    """The mean of the newest values, and their mean deviation; 0 before the first."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.deviation = 0.0
        self._is_empty = True

    def add(self, value: float) -> None:
        """Add a value."""
        if self._is_empty:
            self._is_empty = False
            self.mean, self.deviation = value, value / 2
            return
        difference = value - self.mean
        self.deviation += _DEVIATION_GAIN * (abs(difference) - self.deviation)
        self.mean += _MEAN_GAIN * difference

    def above(self, deviations: float) -> float:
        """Return the value that is so many deviations above the mean."""
        return self.mean + deviations * self.deviation
