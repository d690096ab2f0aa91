"""A straight line through what was measured."""

from __future__ import annotations


class LineFit:
    """A least-squares line through (n, seconds), kept as its sums."""

    def __init__(self, sums: tuple[float, ...] = (0.0,) * 5) -> None:
        self._sums = sums

    def add(self, n: float, seconds: float, weight: float) -> None:
        """Add a measurement."""
        new = (1.0, n, n * n, seconds, n * seconds)
        self._sums = tuple(
            old + weight * value for old, value in zip(self._sums, new, strict=True)
        )

    def decay(self, factor: float) -> None:
        """Multiply the weight of everything so far."""
        self._sums = tuple(factor * value for value in self._sums)

    def plus(self, other: LineFit) -> LineFit:
        """Return the line through the measurements of both."""
        both = zip(self._sums, other._sums, strict=True)
        return LineFit(tuple(a + b for a, b in both))

    @property
    def has_slope(self) -> bool:
        """Whether two different ``n`` have been measured."""
        weight, n, nn, _, _ = self._sums
        return weight > 0 and nn / weight - (n / weight) ** 2 > 1e-6

    def at(self, n: float) -> float | None:
        """Return the line's value; its slope is between 0 and proportional."""
        weight, sum_n, sum_nn, sum_s, sum_ns = self._sums
        if weight == 0:
            return None
        mean_n, mean_s = sum_n / weight, sum_s / weight
        if not self.has_slope:
            return mean_s
        slope = (sum_ns / weight - mean_n * mean_s) / (sum_nn / weight - mean_n**2)
        # Noise may tilt the line beyond what is possible: a step is never faster with
        # more sequences, and never slower than in proportion to them.
        slope = min(max(slope, 0.0), mean_s / mean_n)
        return mean_s + slope * (n - mean_n)
