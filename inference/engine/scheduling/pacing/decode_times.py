"""What a step that only decodes takes, by its sequences and by their lengths."""

from __future__ import annotations

import statistics
from collections import Counter

import numpy as np

from inference.engine.scheduling.pacing.least_squares import NonNegativeFit
from inference.engine.scheduling.pacing.smoothed import Smoothed

#: Usual numbers: they make the three parts of a step's time comparable.
_SEQUENCES = 8.0
_DEPTH = 4000.0
#: The weight of a warm-up measurement, relative to that of a step.
_WARM_UP_WEIGHT = 4.0
#: The decay of older steps per step: a memory of some fifty steps.
_DECAY = 0.98
#: What was learned holds for so many steps: a fit in each would take longer than a
#: step of one sequence may.
_KEPT_FOR = 8
#: Sequences of so many tokens or fewer are short: attention takes little of a step.
_SHORT = 128
#: Fewer steps of a number of sequences say nothing: each may have been disturbed.
_ENOUGH = 8


class DecodeTimes:
    """Learns that a step takes ``fixed + count * each + depth * attention``.

    A step reads the weights once, does each token's arithmetic, and attends over
    ``depth`` tokens of its sequences in all. Fitted by least squares, none of the parts
    negative, to the newest steps and to the warm-up, which has measured both ends of
    the line.

    The warm-up is scaled to the pace of the newest steps. On a machine that has become
    slower since, steps of one size would else seem to have a large fixed part, to which
    more sequences add little.
    """

    def __init__(self) -> None:
        self._warm_up = NonNegativeFit(3)
        self._steps = NonNegativeFit(3)
        self._paces = NonNegativeFit(2)
        self._counts: set[int] = set()
        self._measured: dict[int, float] = {}
        #: Later steps of short sequences, by their number.
        self._short: dict[int, Smoothed] = {}
        self._num_short: Counter[int] = Counter()
        #: Numbers of short sequences, and what they take; None if that has changed.
        self._at_pace: tuple[list[int], list[float]] | None = None
        #: The parts of the warm-up alone.
        self._line: list[float] | None = None
        self._parts: list[float] | None = None
        self._age = 0

    @property
    def knows_batches(self) -> bool:
        """Whether batches of different sizes have been seen."""
        return len(self._counts) > 1

    def calibrate(self, count: int, seconds: float) -> None:
        """Add a step of the warm-up, which does not fade. Its sequences are short."""
        self._counts.add(count)
        self._measured[count] = seconds
        self._at_pace = None
        self._warm_up.add(_row(count, 0), seconds, _WARM_UP_WEIGHT)
        self._line = self._warm_up.parts((0, 1) if self.knows_batches else (0,))
        self._parts = None

    def observe(self, count: int, depth: float, seconds: float) -> None:
        """Add a step of ``count`` tokens, of sequences of ``depth`` tokens in all."""
        is_new = count not in self._counts and not self.knows_batches
        self._counts.add(count)
        self._steps.fade(_DECAY)
        row = _row(count, depth)
        self._steps.add(row, seconds)
        if self._line is not None:
            self._paces.fade(_DECAY)
            self._paces.add((_sum(self._line, row), row[-1]), seconds)
        if depth <= _SHORT * count:
            self._short.setdefault(count, Smoothed()).add(seconds)
            self._num_short[count] += 1
            if self._num_short[count] % _ENOUGH == 0:
                self._at_pace = None
        self._age += 1
        if is_new or self._age >= _KEPT_FOR:
            self._parts = None

    def seconds(self, count: int, depth: float) -> float | None:
        """Return what a step takes; None before anything was measured."""
        if self._parts is None:
            among = (0, 1, 2) if self.knows_batches else (0, 2)
            pace, _ = self._paces.parts() or (1.0, 0.0)
            warm_up = self._warm_up.slower(pace or 1.0)
            self._parts = warm_up.plus(self._steps).parts(among)
            self._age = 0
        return None if self._parts is None else _sum(self._parts, _row(count, depth))

    def short_seconds(self, count: int) -> float | None:
        """Return what a step of short sequences takes; None without a warm-up.

        It is on straight lines between what was measured, which say more of few
        sequences than one line through all: the second one costs more than the tenth.
        Later steps count in the place of the warm-up's, and set the pace of the others:
        what else runs while a model is loaded makes steps of one sequence seem as long
        as those of several.
        """
        if len(self._measured) < 2:
            return None
        if self._at_pace is None:
            known = self._known()
            self._at_pace = sorted(known), [known[n] for n in sorted(known)]
        counts, seconds = self._at_pace
        beyond = max(count - counts[-1], 0)
        slope = (seconds[-1] - seconds[-2]) / (counts[-1] - counts[-2])
        return float(np.interp(count, counts, seconds)) + beyond * max(slope, 0.0)

    def _known(self) -> dict[int, float]:
        """Return what steps of short sequences take, by their number."""
        measured = self._measured
        later = {
            count: self._short[count].mean
            for count, num in self._num_short.items()
            if num >= _ENOUGH
        }
        counts = sorted(measured)
        line = [measured[count] for count in counts]
        expected = {n: float(np.interp(n, counts, line)) for n in later}
        paces = [later[n] / expected[n] for n in later if expected[n] > 0]
        pace = statistics.median(paces) if paces else 1.0
        return {n: pace * seconds for n, seconds in measured.items()} | later


def _sum(parts: list[float], numbers: tuple[float, ...]) -> float:
    return sum(part * number for part, number in zip(parts, numbers, strict=True))


def _row(count: int, depth: float) -> tuple[float, float, float]:
    return 1.0, count / _SEQUENCES, depth / _DEPTH
