"""Figures of a load: from answers to numbers, from rounds to medians and ratios."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.client.answers import Answer

#: By name: seconds end in ``_s``, the names say the rest.
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one system under one workload in one round."""

    round: int
    workload: str
    system: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds, and medians of the ratios to another system.

    A ratio is taken within a round, so that a machine whose speed drifts between
    rounds does not blur it.
    """

    workload: str
    system: str
    medians: Figures
    ratios: Figures


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that this share of all values does not exceed.

    The nearest-rank method: always one of the values. Raises ValueError on none.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def load_figures(answers: Sequence[Answer]) -> Figures:
    """Return what every workload is asked for.

    ``itl`` are the gaps between events that carry text, as a reader sees them;
    ``prompt_tokens_per_s`` counts all tokens of the prompts, cached or not, until
    the last first token.
    """
    start = min(answer.started_s for answer in answers)
    tokens = sum(answer.completion_tokens for answer in answers)
    figures = {
        "tokens": float(tokens),
        "tokens_per_s": tokens / (max(answer.ended_s for answer in answers) - start),
        "ttft_p50_s": percentile((answer.ttft_s for answer in answers), 50),
        "ttft_p95_s": percentile((answer.ttft_s for answer in answers), 95),
    }
    gaps = [gap for answer in answers for _, gap in answer.gaps]
    if gaps:
        figures["itl_p50_s"] = percentile(gaps, 50)
        figures["itl_p95_s"] = percentile(gaps, 95)
    prompts = [answer.prompt_tokens for answer in answers]
    if None not in prompts:
        prompt_tokens = sum(count or 0 for count in prompts)
        seconds = max(answer.arrivals_s[0] for answer in answers) - start
        figures["prompt_tokens"] = prompt_tokens
        figures["prompt_tokens_per_s"] = prompt_tokens / seconds
        cached = [answer.cached_tokens for answer in answers]
        if None not in cached:
            figures["cached_share"] = (
                sum(count or 0 for count in cached) / prompt_tokens
            )
    return figures


def summarize(
    measurements: Sequence[Measurement], baseline: str | None
) -> list[Summary]:
    """Return one summary a workload and system, in order of appearance."""
    cells: dict[tuple[str, str], dict[int, Figures]] = {}
    for measurement in measurements:
        cell = cells.setdefault((measurement.workload, measurement.system), {})
        cell[measurement.round] = measurement.figures
    return [
        Summary(
            workload=workload,
            system=system,
            medians=_medians(rounds.values()),
            ratios=_medians(
                _ratio(figures, base[number])
                for number, figures in rounds.items()
                if number in base
            ),
        )
        for (workload, system), rounds in cells.items()
        for base in [cells.get((workload, baseline or ""), {})]
    ]


def _medians(rounds: Iterable[Figures]) -> Figures:
    """Return the median of each figure that every round has."""
    first, *others = list(rounds) or [{}]
    return {
        name: statistics.median([value, *(one[name] for one in others)])
        for name, value in first.items()
        if all(name in one for one in others)
    }


def _ratio(figures: Mapping[str, float], base: Mapping[str, float]) -> Figures:
    return {
        name: value / base[name] for name, value in figures.items() if base.get(name)
    }
