"""Usage over time by model, key or team, from the points of charts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Case, IntegerField, Max, Q, Sum, Value, When

from accounts.histogram import FIRST_TOKEN, HISTOGRAMS, SPEED
from accounts.models import PointStep, PointSubject, UsagePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Subjects of a chart that have a colour of their own; all others are one.
MAX_SUBJECTS = 6
#: The subject of those others.
OTHERS_ID = -1
_COUNTS = ("requests", "failed", "prompt_tokens", "completion_tokens")
_COLUMNS = (
    *_COUNTS,
    *(column for histogram in HISTOGRAMS for column in histogram.columns),
)
_HOURS_OF_A_DAY = 24


@dataclass(frozen=True, slots=True)
class ChartPeriod:
    """A period up to now: ``days`` of the calendar, 0 for the last 24 hours.

    It is cut into slots of ``slot_hours``; a day is a slot, however long it is.
    """

    label: str
    days: int
    slot_hours: int

    @property
    def step(self) -> PointStep:
        """The points that it is made of."""
        is_daily = self.slot_hours == _HOURS_OF_A_DAY
        return PointStep.DAY if is_daily else PointStep.HOUR

    @property
    def ranking_step(self) -> PointStep:
        """The points that say who was used most: as few as possible."""
        return PointStep.DAY if self.days else PointStep.HOUR

    def starts(self, now: datetime, zone: ZoneInfo) -> list[datetime]:
        """Return when its slots start, as local times; the last one is not over."""
        local = now.astimezone(zone)
        if not self.days:
            hour = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
            hours = [hour - timedelta(hours=ago) for ago in reversed(range(24))]
            return [each.astimezone(zone) for each in hours]
        first = local.date() - timedelta(days=self.days - 1)
        starts = [
            datetime(day.year, day.month, day.day, hour, tzinfo=zone)
            for day in (first + timedelta(days=more) for more in range(self.days))
            for hour in range(0, _HOURS_OF_A_DAY, self.slot_hours)
        ]
        return [each for each in starts if each <= now]


CHART_PERIODS = {
    "24h": ChartPeriod("24 h", 0, 1),
    "7d": ChartPeriod("7 d", 7, 6),
    "30d": ChartPeriod("30 d", 30, 24),
}
CHART_SUBJECTS = {
    "model": PointSubject.MODEL,
    "key": PointSubject.KEY,
    "team": PointSubject.TEAM,
}


@dataclass(slots=True)
class UsageSums:
    """What was counted in a slot, or in a period."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_tokens: list[int] = field(
        default_factory=lambda: [0] * len(FIRST_TOKEN.columns)
    )
    speeds: list[int] = field(default_factory=lambda: [0] * len(SPEED.columns))

    @classmethod
    def of(cls, values: Sequence[int]) -> Self:
        """Return the sums of a row: its counts, then its histograms."""
        requests, failed, prompt_tokens, completion_tokens, *counts = values
        speeds = len(FIRST_TOKEN.columns)
        return cls(
            requests,
            failed,
            prompt_tokens,
            completion_tokens,
            counts[:speeds],
            counts[speeds:],
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def speed(self) -> float | None:
        """The median of answers' tokens a second; None if none was measured."""
        return SPEED.percentile(self.speeds, 0.5)

    def first_token_s(self, share: float) -> float | None:
        """Return a percentile of the time to the first token, in seconds."""
        found = FIRST_TOKEN.percentile(self.first_tokens, share)
        return None if found is None else found / 1000

    def plus(self, other: UsageSums, sign: int = 1) -> UsageSums:
        """Return the sums of both, or with ``sign`` -1 their difference."""
        return UsageSums(
            self.requests + sign * other.requests,
            self.failed + sign * other.failed,
            self.prompt_tokens + sign * other.prompt_tokens,
            self.completion_tokens + sign * other.completion_tokens,
            _added(self.first_tokens, other.first_tokens, sign),
            _added(self.speeds, other.speeds, sign),
        )


@dataclass(frozen=True, slots=True)
class SubjectSeries:
    """The sums of one subject, slot by slot."""

    subject_id: int
    name: str
    slots: list[UsageSums]


@dataclass(frozen=True, slots=True)
class UsageSeries:
    """Usage over a period: the subjects that asked most, then all others together.

    ``starts`` are the slots' local times. ``total`` is of the whole period.
    """

    starts: list[datetime]
    subjects: list[SubjectSeries]
    total: UsageSums


def usage_series(
    period: ChartPeriod, subject: PointSubject, now: datetime
) -> UsageSeries:
    """Return usage by subject up to now. Two queries."""
    zone = ZoneInfo(settings.CONFIG.usage.time_zone)
    starts = period.starts(now, zone)
    names = most_used(period.ranking_step, subject, starts[0], MAX_SUBJECTS)
    points = UsagePoint.objects.filter(step=period.step, start__gte=starts[0])
    points = points.filter(
        Q(subject=PointSubject.ALL) | Q(subject=subject, subject_id__in=names)
    )
    rows = (
        points.order_by()
        .values("subject", "subject_id", slot=_slot_of(starts))
        .annotate(**{f"sum_{name}": Sum(name) for name in _COLUMNS})
        .values_list(
            "subject", "subject_id", "slot", *(f"sum_{name}" for name in _COLUMNS)
        )
    )
    found = {(row[0], row[1], row[2]): UsageSums.of(row[3:]) for row in rows}
    slots = range(len(starts))
    series = [
        SubjectSeries(id_, name, [_at(found, (subject, id_, slot)) for slot in slots])
        for id_, name in names.items()
    ]
    whole = [_at(found, (PointSubject.ALL, 0, slot)) for slot in slots]
    rest = whole
    for each in series:
        rest = [a.plus(b, -1) for a, b in zip(rest, each.slots, strict=True)]
    if any(sums.requests for sums in rest):
        series.append(SubjectSeries(OTHERS_ID, "others", rest))
    return UsageSeries(starts, series, _total(whole))


def most_used(
    step: PointStep, subject: PointSubject, since: datetime, most: int
) -> dict[int, str]:
    """Return the subjects with most requests, and their names. One query."""
    points = UsagePoint.objects.filter(step=step, subject=subject, start__gte=since)
    rows = (
        points.order_by()
        .values("subject_id")
        .annotate(shown=Max("name"), used=Sum("requests"))
        .order_by("-used", "subject_id")[:most]
    )
    none = f"no {PointSubject(subject).name.lower()}"
    return {row["subject_id"]: row["shown"] or none for row in rows}


def _slot_of(starts: Sequence[datetime]) -> Case:
    """Return the number of a point's slot, in a query."""
    ends = [
        When(start__lt=end, then=Value(number)) for number, end in enumerate(starts[1:])
    ]
    last = Value(len(starts) - 1)
    return Case(*ends, default=last, output_field=IntegerField())


def _at(
    found: Mapping[tuple[Any, ...], UsageSums], key: tuple[int, int, int]
) -> UsageSums:
    return found.get(key) or UsageSums()


def _total(slots: Iterable[UsageSums]) -> UsageSums:
    total = UsageSums()
    for slot in slots:
        total = total.plus(slot)
    return total


def _added(left: Sequence[int], right: Sequence[int], sign: int) -> list[int]:
    return [a + sign * b for a, b in zip(left, right, strict=True)]
