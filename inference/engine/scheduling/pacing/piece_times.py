"""What a piece of a prompt takes, by its tokens and by those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: A usual size and depth: they make the three parts of a piece's time comparable.
_SIZE = 64.0
_DEPTH = 1000.0
#: The decay of older pieces per step with prefill: a memory of some ten steps.
_DECAY = 0.9
#: All ways to leave out some of the three parts, those with the most of them first.
_SUBSETS = [list(c) for n in (3, 2, 1) for c in combinations(range(3), n)]


@dataclass(frozen=True, slots=True)
class PieceCost:
    """A piece of n tokens at a depth takes ``fixed_s + n (token_s + depth depth_s)``.

    ``fixed_s`` is what any pass through the model takes; ``depth_s`` is attention to
    one more token. A piece's depth is in its middle.
    """

    fixed_s: float
    token_s: float
    depth_s: float = 0.0

    def seconds(self, size: int, start: int) -> float:
        """Return the seconds of ``size`` tokens with ``start`` tokens before them."""
        depth = start + size / 2
        return self.fixed_s + size * (self.token_s + depth * self.depth_s)

    def tokens(self, seconds: float, start: int) -> int:
        """Return how many tokens take at most these seconds."""
        rest = seconds - self.fixed_s
        slope = self.token_s + start * self.depth_s
        if rest <= 0 or slope <= 0:
            return 0
        return int(2 * rest / (slope + math.sqrt(slope**2 + 2 * self.depth_s * rest)))


class PieceTimes:
    """Learns a ``PieceCost`` from steps: least squares, none of its parts negative.

    What is fitted are seconds a token, so that a long piece does not outweigh short
    ones. Measurements of the warm-up stay; those of steps fade.
    """

    def __init__(self) -> None:
        self._fixed = _Sums()
        self._fading = _Sums()
        self._cost: PieceCost | None = None

    def calibrate(self, size: int, start: int, seconds: float) -> None:
        """Add a piece of the warm-up."""
        self._fixed.add([(size, start)], seconds)
        self._cost = None

    def observe(self, pieces: Iterable[tuple[int, int]], seconds: float) -> None:
        """Add a step's pieces: of each its tokens and those before it."""
        self._fading.fade(_DECAY)
        self._fading.add(pieces, seconds)
        self._cost = None

    @property
    def cost(self) -> PieceCost | None:
        """What was learned; None before anything was."""
        if self._cost is None:
            self._cost = self._fixed.plus(self._fading).fit()
        return self._cost


class _Sums:
    """The sums of a least-squares fit of three parts, and of its target."""

    def __init__(self) -> None:
        self._products: NDArray[np.float64] = np.zeros((4, 4))

    def add(self, pieces: Iterable[tuple[int, int]], seconds: float) -> None:
        pieces = list(pieces)
        tokens = sum(size for size, _ in pieces)
        depth = sum(size * (start + size / 2) for size, start in pieces) / tokens
        row = np.array(
            [len(pieces) * _SIZE / tokens, 1.0, depth / _DEPTH, seconds / tokens]
        )
        self._products += np.outer(row, row)

    def fade(self, factor: float) -> None:
        self._products *= factor

    def plus(self, other: _Sums) -> _Sums:
        both = _Sums()
        both._products = self._products + other._products
        return both

    def fit(self) -> PieceCost | None:
        """Return the best cost without negative parts; None if there is none."""
        products = self._products
        best: tuple[float, NDArray[np.float64]] | None = None
        for subset in _SUBSETS:
            square = products[np.ix_(subset, subset)]
            target = products[subset, 3]
            # Of several that fit equally, as after one measurement, the smallest.
            found = np.linalg.lstsq(square, target, rcond=1e-9)[0]
            if (found < 0).any() or not found.any():
                continue
            error = float(found @ square @ found - 2 * found @ target)
            if best is None or error < best[0]:
                parts = np.zeros(3)
                parts[subset] = found
                best = (error, parts)
        if best is None:
            return None
        fixed, token, depth = best[1].tolist()
        return PieceCost(fixed * _SIZE, token, depth / _DEPTH)
