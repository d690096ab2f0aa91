"""Measures step times, and chooses the size of prefill chunks by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A step with prefill may take at most this multiple of a step without, unless more
#: sequences prefill than decode.
MAX_SLOWDOWN = 2.5
#: Smaller chunks cost more in overhead than they save the decodes.
MIN_CHUNK = 16
#: The chunk size before anything is measured.
_FIRST_CHUNK = 64
#: Short chunks keep decodes fast. If a token in one takes more than this multiple of a
#: token in a whole tile, they cost everybody more than they save.
_MAX_WASTE = 1.25
#: The weight of a warm-up measurement, relative to that of a step.
_WARM_UP_WEIGHT = 4.0
#: The decay of older steps per step: a memory of some fifty steps.
_DECAY = 0.98
#: The same for steps with prefill: a memory of some ten steps.
_PREFILL_DECAY = 0.9


@dataclass(frozen=True, slots=True)
class Chunk:
    """How much may be prefilled in a step: up to ``size`` tokens in all.

    A piece of a prompt has at least ``least`` tokens, except at the end of a short
    prompt.
    """

    size: int
    least: int = 1

    def piece(self, rest: int, budget: int) -> int:
        """Return how many of a prompt's ``rest`` tokens are computed in the step.

        At most ``budget``; the remainder is at least ``least`` tokens, or nothing.
        """
        size = max(min(rest, self.size, budget), 0)
        if not size:
            return 0
        if 0 < rest - size < self.least:
            return rest if rest <= budget else max(rest - self.least, 1)
        return size

    def without(self, tokens: int) -> Chunk:
        """Return the chunk that is left after this many tokens."""
        return replace(self, size=max(self.size - tokens, 0))


class StepTimes:
    """Models the seconds of a decode step by batch size, and of a prefill token.

    A decode of n sequences reads the weights once and does n sequences' arithmetic, so
    its time is fitted by a straight line: least squares over the newest decode steps
    and the warm-up, which has measured both ends of the line. A token of prefill takes
    longer the more tokens are before it: a line again, one for pieces of at least
    ``tile`` tokens, where attention is computed in tiles, and one for shorter ones.
    """

    def __init__(self, tile: int = 1) -> None:
        self._tile = tile
        #: Whether short chunks run in the prefill context, where they are not slower.
        self.has_prefill_context = False
        self._warm_up = _LineFit()
        self._steps = _LineFit()
        self._short = _LineFit()
        self._tiled = _LineFit()

    def calibrate(self, num_decodes: int, seconds: float) -> None:
        """Add a decode step of the warm-up, which does not decay."""
        self._warm_up.add(num_decodes, seconds, _WARM_UP_WEIGHT)

    def observe(
        self, num_decodes: int, prefills: Iterable[tuple[int, int]], seconds: float
    ) -> None:
        """Add a step; of each prefill chunk its tokens, and those before it."""
        pieces = list(prefills)
        num_prefill = sum(size for size, _ in pieces)
        if num_prefill == 0:
            self._steps.decay(_DECAY)
            self._steps.add(num_decodes, seconds, 1.0)
            return
        beside = self.decode_s(num_decodes) or 0.0 if num_decodes else 0.0
        # A short prefill is mostly the fixed cost of a step, not of its tokens.
        if num_prefill < MIN_CHUNK or seconds <= beside:
            return
        if all(size >= self._tile for size, _ in pieces):
            line = self._tiled
        elif all(size < self._tile for size, _ in pieces):
            line = self._short
        else:
            return
        depth = sum(size * (start + size / 2) for size, start in pieces) / num_prefill
        line.decay(_PREFILL_DECAY)
        line.add(depth, (seconds - beside) / num_prefill, 1.0)

    def decode_s(self, num_decodes: int) -> float | None:
        """Return the seconds of a step that decodes this many sequences, if known."""
        return self._warm_up.plus(self._steps).at(num_decodes)

    @property
    def knows_batches(self) -> bool:
        """Whether batches of different sizes have been seen."""
        return self._warm_up.plus(self._steps).has_slope

    def chunk(
        self, num_decodes: int, budget: int, depth: float = 0.0, *, waiting: int = 1
    ) -> Chunk:
        """Return what may be prefilled beside ``num_decodes`` decodes.

        Without decodes no stream is delayed, so the whole ``budget`` is free. ``depth``
        is the number of tokens before those of the prefill. If more sequences are
        ``waiting`` for their first token than decode, steps may take longer in that
        proportion: otherwise a few fast streams would keep many requests from starting.
        """
        if num_decodes == 0:
            return Chunk(budget, self._tile)
        decode_s = self.decode_s(num_decodes)
        tiled_s = self._tiled.at(depth)
        if decode_s is None or not tiled_s:
            return Chunk(min(max(_FIRST_CHUNK, self._tile), budget), self._tile)
        extra_s = (MAX_SLOWDOWN * max(waiting / num_decodes, 1.0) - 1) * decode_s
        if self._tile == 1:
            return Chunk(min(max(int(extra_s / tiled_s), MIN_CHUNK), budget))
        tiles = int(extra_s / tiled_s / self._tile)
        # Assumed to be no slower until it is measured.
        short_s = self._short.at(depth) or tiled_s
        is_waste = not self.has_prefill_context and short_s > _MAX_WASTE * tiled_s
        if tiles or is_waste:
            return Chunk(min(max(tiles, 1) * self._tile, budget), self._tile)
        return Chunk(min(max(int(extra_s / short_s), MIN_CHUNK), budget))


class _LineFit:
    """A least-squares line through (n, seconds), kept as its sums."""

    def __init__(self, sums: tuple[float, ...] = (0.0,) * 5) -> None:
        self._sums = sums

    def add(self, n: float, seconds: float, weight: float) -> None:
        new = (1.0, n, n * n, seconds, n * seconds)
        self._sums = tuple(
            old + weight * value for old, value in zip(self._sums, new, strict=True)
        )

    def decay(self, factor: float) -> None:
        self._sums = tuple(factor * value for value in self._sums)

    def plus(self, other: _LineFit) -> _LineFit:
        both = zip(self._sums, other._sums, strict=True)
        return _LineFit(tuple(a + b for a, b in both))

    @property
    def has_slope(self) -> bool:
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
