"""Latencies in windows that take turns: without what is measured, and beside it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.reporting.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The requests of which it is said where their time goes.
_SLOWEST = 0.1


def ratios(
    alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]
) -> list[float]:
    """Return the p95 of each window beside, in that of the two windows around it.

    ``alone`` has one window more, so that a machine whose pace drifts while they are
    measured has no part in a ratio.
    """
    around = [
        (percentile(before, 95) + percentile(after, 95)) / 2
        for before, after in pairwise(alone)
    ]
    return [
        percentile(window, 95) / quiet
        for window, quiet in zip(beside, around, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of a request, one after the other.

    ``start_s``: until the engine starts it, with the step that runs then;
    ``token_s``: its own steps, until its first token; ``rest_s``: the way to the
    server, the end of the answer and the way back.
    """

    start_s: float
    token_s: float
    rest_s: float

    @property
    def total_s(self) -> float:
        """What the client sees."""
        return self.start_s + self.token_s + self.rest_s


def of_the_slowest(requests: Iterable[Parts]) -> Parts | None:
    """Return the means of the slowest tenth of requests; None if there are none."""
    ordered = sorted(requests, key=lambda parts: parts.total_s, reverse=True)
    slowest = ordered[: max(round(_SLOWEST * len(ordered)), 1)]
    if not slowest:
        return None
    return Parts(
        statistics.mean(parts.start_s for parts in slowest),
        statistics.mean(parts.token_s for parts in slowest),
        statistics.mean(parts.rest_s for parts in slowest),
    )
