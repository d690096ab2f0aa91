"""Histograms of times and speeds: their buckets, and percentiles of what is in them.

Bounds grow by the square root of two, so a percentile between two of them is at most
a fifth away from the true one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS_OF_A_DOUBLING = 2


@dataclass(frozen=True, slots=True)
class BucketScale:
    """The upper bounds of buckets, inclusive; one more bucket has what is larger."""

    column: str
    bounds: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that count its buckets."""
        return tuple(f"{self.column}_{at}" for at in range(len(self.bounds) + 1))

    def column_of(self, value: float) -> str:
        """Return the column that counts a value."""
        return f"{self.column}_{bisect_left(self.bounds, value)}"

    def percentile(self, counts: Sequence[int], share: float) -> float | None:
        """Return the value below which this share of the counted ones is.

        Within a bucket it grows by its logarithm. None if nothing was counted. What is
        above the last bound counts as that bound.
        """
        sums = list(accumulate(counts))
        if not sums or not sums[-1]:
            return None
        wanted = share * sums[-1]
        at = next(index for index, total in enumerate(sums) if total >= wanted)
        at = next(index for index in range(at, len(counts)) if counts[index])
        if at == len(self.bounds):
            return self.bounds[-1]
        upper = self.bounds[at]
        lower = self.bounds[at - 1] if at else self.bounds[0] / 2
        inside = (wanted - (sums[at] - counts[at])) / counts[at]
        return float(lower * (upper / lower) ** max(inside, 0.0))


def _bounds(first: float, doublings: int) -> tuple[float, ...]:
    steps = range(doublings * _STEPS_OF_A_DOUBLING + 1)
    return tuple(round(first * 2 ** (step / _STEPS_OF_A_DOUBLING), 2) for step in steps)


#: From 16 ms to 131 s until the first token, in milliseconds.
FIRST_TOKEN = BucketScale("first_token", _bounds(16, 13))
#: From one token in two seconds to 1,024 a second, of one answer.
SPEED = BucketScale("speed", _bounds(0.5, 11))
HISTOGRAMS = (FIRST_TOKEN, SPEED)
