"""What a piece of a prompt takes, by its tokens and by those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.scheduling.pacing.least_squares import NonNegativeFit

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A usual size and depth: they make the three parts of a piece's time comparable.
_SIZE = 64.0
_DEPTH = 1000.0
#: The decay of older pieces per step with prefill: a memory of some ten steps.
_DECAY = 0.9


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
        self._fixed = NonNegativeFit(3)
        self._fading = NonNegativeFit(3)
        self._cost: PieceCost | None = None

    def calibrate(self, size: int, start: int, seconds: float) -> None:
        """Add a piece of the warm-up."""
        _add(self._fixed, [(size, start)], seconds)
        self._cost = None

    def observe(self, pieces: Iterable[tuple[int, int]], seconds: float) -> None:
        """Add a step's pieces: of each its tokens and those before it."""
        self._fading.fade(_DECAY)
        _add(self._fading, pieces, seconds)
        self._cost = None

    @property
    def cost(self) -> PieceCost | None:
        """What was learned; None before anything was."""
        if self._cost is None:
            parts = self._fixed.plus(self._fading).parts()
            if parts is not None:
                fixed, token, depth = parts
                self._cost = PieceCost(fixed * _SIZE, token, depth / _DEPTH)
        return self._cost


def _add(
    fit: NonNegativeFit, pieces: Iterable[tuple[int, int]], seconds: float
) -> None:
    pieces = list(pieces)
    tokens = sum(size for size, _ in pieces)
    depth = sum(size * (start + size / 2) for size, start in pieces) / tokens
    numbers = (len(pieces) * _SIZE / tokens, 1.0, depth / _DEPTH)
    fit.add(numbers, seconds / tokens)
