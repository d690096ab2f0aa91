"""Usage over time as charts, each with a table of its numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.utils import timezone
from django.utils.http import urlencode

from accounts.usage.charts import (
    CHART_PERIODS,
    CHART_SUBJECTS,
    ChartPeriod,
    UsageSums,
    usage_series,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accounts.usage.charts import SubjectSeries, UsageSeries

_DEFAULT_PERIOD, _DEFAULT_BY = "24h", "model"
#: The variables of the stylesheet with the colours of subjects; "others" is grey.
_COLOURS = tuple(f"var(--lm-series-{number})" for number in range(6))
_GREY = "var(--lm-series-others)"

Number = float | None


@dataclass(frozen=True, slots=True)
class ChartMeasure:
    """What a chart shows of the sums of a slot; ``digits`` are those of its numbers."""

    title: str
    unit: str
    kind: Literal["bar", "line"]
    value: Callable[[UsageSums], Number]
    digits: int = 0


MEASURES = (
    ChartMeasure("Requests", "", "bar", lambda sums: sums.requests),
    ChartMeasure("Errors", "", "bar", lambda sums: sums.failed),
    ChartMeasure("Tokens", "", "bar", lambda sums: sums.tokens),
    ChartMeasure("Tokens a second", "/s", "line", lambda sums: sums.speed, 1),
    ChartMeasure(
        "First token, p50", "s", "line", lambda sums: sums.first_token_s(0.5), 2
    ),
    ChartMeasure(
        "First token, p95", "s", "line", lambda sums: sums.first_token_s(0.95), 2
    ),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of Chart.js, and its numbers as rows of a table."""

    title: str
    unit: str
    kind: Literal["bar", "line"]
    data: str
    options: str
    names: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Switch:
    """A link to the same page with another choice."""

    label: str
    url: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ChartsSection:
    """All charts of a period by one kind of subject, and the ways to others."""

    periods: list[Switch]
    subjects: list[Switch]
    numbers: list[tuple[str, str]]
    charts: list[Chart]
    zone: str
    is_empty: bool


def charts_section(query: Mapping[str, str]) -> ChartsSection:
    """Return the charts that a page's query asks for. Two queries of the database."""
    period, by = query.get("period", ""), query.get("by", "")
    period = period if period in CHART_PERIODS else _DEFAULT_PERIOD
    by = by if by in CHART_SUBJECTS else _DEFAULT_BY
    chosen = CHART_PERIODS[period]
    series = usage_series(chosen, CHART_SUBJECTS[by], timezone.now())
    labels = [_label(chosen, start) for start in series.starts]
    return ChartsSection(
        periods=[
            Switch(each.label, _url(name, by), name == period)
            for name, each in CHART_PERIODS.items()
        ],
        subjects=[
            Switch(f"By {name}", _url(period, name), name == by)
            for name in CHART_SUBJECTS
        ],
        numbers=_numbers(series.total),
        charts=[_chart(measure, labels, series) for measure in MEASURES],
        zone=settings.CONFIG.usage.time_zone,
        is_empty=not series.total.requests,
    )


def _url(period: str, by: str) -> str:
    return f"?{urlencode({'period': period, 'by': by})}#usage"


def _label(period: ChartPeriod, start: Any) -> str:
    if not period.days:
        return f"{start:%H:%M}"
    is_daily = period.slot_hours == 24
    return f"{start:%b} {start.day}" + ("" if is_daily else f", {start:%H:%M}")


def _numbers(total: UsageSums) -> list[tuple[str, str]]:
    share = f" ({total.failed / total.requests:.1%})" if total.failed else ""
    return [
        ("Requests", f"{total.requests:,}"),
        ("Errors", f"{total.failed:,}{share}"),
        ("Prompt tokens", f"{total.prompt_tokens:,}"),
        ("Answer tokens", f"{total.completion_tokens:,}"),
        ("First token, p50", _shown(total.first_token_s(0.5), 2, " s")),
        ("First token, p95", _shown(total.first_token_s(0.95), 2, " s")),
        ("Tokens a second", _shown(total.speed, 1)),
    ]


def _chart(measure: ChartMeasure, labels: list[str], series: UsageSeries) -> Chart:
    values = [
        [measure.value(slot) for slot in subject.slots] for subject in series.subjects
    ]
    datasets = [
        _dataset(measure, subject, _colour(subject, number), numbers)
        for number, (subject, numbers) in enumerate(
            zip(series.subjects, values, strict=True)
        )
    ]
    slots = zip(*values, strict=True) if values else [()] * len(labels)
    return Chart(
        title=measure.title,
        unit=measure.unit,
        kind=measure.kind,
        data=json.dumps({"labels": labels, "datasets": datasets}),
        options=_OPTIONS[measure.kind],
        names=[subject.name for subject in series.subjects],
        rows=[
            (label, [_shown(number, measure.digits) for number in numbers])
            for label, numbers in zip(labels, slots, strict=True)
        ],
    )


def _dataset(
    measure: ChartMeasure, subject: SubjectSeries, colour: str, values: Sequence[Number]
) -> dict[str, Any]:
    rounded = [None if v is None else round(v, measure.digits) for v in values]
    dataset: dict[str, Any] = {
        "label": subject.name,
        "data": rounded,
        "backgroundColor": colour,
        "borderColor": colour,
    }
    if measure.kind == "line":
        # A point that stands alone has no line, so it is drawn itself.
        alone = [_is_alone(rounded, at) for at in range(len(rounded))]
        dataset["pointRadius"] = [3 if each else 0 for each in alone]
        dataset["pointHitRadius"] = 8
    return dataset


def _is_alone(values: Sequence[Number], at: int) -> bool:
    before, after = values[:at][-1:], values[at + 1 :][:1]
    return values[at] is not None and all(v is None for v in (*before, *after))


def _colour(subject: SubjectSeries, number: int) -> str:
    return _COLOURS[number] if subject.subject_id >= 0 else _GREY


def _shown(number: Number, digits: int, unit: str = "") -> str:
    return "-" if number is None else f"{number:,.{digits}f}{unit}"


def _options(kind: str) -> str:
    """Return Chart.js's options. unfold sets the colours of grids by the theme."""
    is_stacked = kind == "bar"
    ticks = {"color": "#84848c", "maxRotation": 0}
    return json.dumps(
        {
            "animation": False,
            "responsive": True,
            "maintainAspectRatio": False,
            "interaction": {"mode": "index", "intersect": False},
            "borderWidth": 2 if kind == "line" else 0,
            "plugins": {"legend": {"display": False}},
            "scales": {
                "x": {
                    "stacked": is_stacked,
                    "grid": {"display": False},
                    "ticks": {**ticks, "autoSkip": True, "maxTicksLimit": 8},
                },
                "y": {
                    "stacked": is_stacked,
                    "beginAtZero": True,
                    "border": {"display": False},
                    "grid": {"color": "#84848c"},
                    "ticks": {**ticks, "precision": 0} if is_stacked else ticks,
                },
            },
        }
    )


_OPTIONS = {kind: _options(kind) for kind in ("bar", "line")}
