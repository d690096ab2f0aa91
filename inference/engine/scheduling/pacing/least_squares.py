"""Least squares without negative parts, over measurements that fade."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


class NonNegativeFit:
    """Finds the parts of which a measurement is a sum, each times a known number.

    Kept as sums, so that any number of measurements takes the same room.
    """

    def __init__(self, num_parts: int) -> None:
        self._num_parts = num_parts
        self._products: NDArray[np.float64] = np.zeros((num_parts + 1, num_parts + 1))

    def add(self, numbers: Sequence[float], measured: float, weight: float = 1) -> None:
        """Add a measurement, and how much of each part is in it."""
        row = np.array([*numbers, measured])
        self._products += weight * (row[:, None] * row)

    def fade(self, factor: float) -> None:
        """Multiply the weight of everything so far."""
        self._products *= factor

    def plus(self, other: NonNegativeFit) -> NonNegativeFit:
        """Return the fit of the measurements of both."""
        both = NonNegativeFit(self._num_parts)
        both._products = self._products + other._products
        return both

    def slower(self, factor: float) -> NonNegativeFit:
        """Return the fit of the same measurements, had each been ``factor`` times."""
        scaled = NonNegativeFit(self._num_parts)
        scaled._products = self._products.copy()
        scaled._products[:, -1] *= factor
        scaled._products[-1] *= factor
        return scaled

    def parts(self, among: Iterable[int] | None = None) -> list[float] | None:
        """Return the parts that fit best; None if there are none.

        Only parts ``among`` these are other than 0.
        """
        allowed = tuple(range(self._num_parts) if among is None else among)
        best: tuple[float, NDArray[np.float64]] | None = None
        fitting: list[set[int]] = []
        for count in range(len(allowed), 0, -1):
            for subset in combinations(allowed, count):
                # Fewer of the same parts fit no better than all of them.
                if any(more.issuperset(subset) for more in fitting):
                    continue
                rows, columns = _indices(subset)
                square = self._products[rows, columns]
                target = self._products[columns[0], -1]
                # Of several that fit equally, as after one measurement, the smallest.
                found, _, rank, _ = np.linalg.lstsq(square, target, rcond=1e-9)
                if (found < 0).any() or not found.any():
                    continue
                if rank == count:
                    fitting.append(set(subset))
                error = float(found @ square @ found - 2 * found @ target)
                if best is None or error < best[0]:
                    parts = np.zeros(self._num_parts)
                    parts[columns[0]] = found
                    best = (error, parts)
        return None if best is None else best[1].tolist()


@cache
def _indices(subset: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return what finds the rows and the columns of some parts, as ``np.ix_`` does."""
    rows, columns = np.ix_(subset, subset)
    return rows, columns
