"""Adds requests to the points of charts, in the transaction that inserts their rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.histogram import FIRST_TOKEN, HISTOGRAMS, SPEED
from accounts.models import PointStep, PointSubject, UsagePoint
from accounts.models.usage import NONE_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    #: Numbers by the names of columns; those that are missing are 0.
    Sums = Counter[str]

_SUMMED = (
    *("requests", "failed", "prompt_tokens", "completion_tokens"),
    *(column for histogram in HISTOGRAMS for column in histogram.columns),
)
_ONCE = ("step", "subject", "start", "subject_id")
_COLUMNS = (*_ONCE, "name", *_SUMMED)
_TABLE = UsagePoint._meta.db_table
_ROW = f"({', '.join(['%s'] * len(_COLUMNS))})"
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608
_ADD_TO = f" ON CONFLICT ({', '.join(_ONCE)}) DO UPDATE SET " + ", ".join(
    f"{name} = {_TABLE}.{name} + excluded.{name}" for name in _SUMMED
)
#: Points of one statement of PostgreSQL: some hundred kilobytes.
_AT_ONCE = 1000
#: The points of hours are for charts of a week at most.
HOURS_KEPT = timedelta(days=14)


class PointKey(NamedTuple):
    """Which point it is, in the order in which points are written."""

    step: PointStep
    subject: PointSubject
    start: datetime
    subject_id: int


def points_add(rows: Iterable[Mapping[str, Any]]) -> None:
    """Add requests to their points. One statement. Raises DatabaseError.

    More than some hundred requests may take several.
    """
    sums, names = points_of(rows, ZoneInfo(settings.CONFIG.usage.time_zone))
    adapted = connection.ops.adapt_datetimefield_value
    # In one order everywhere: two processes that add to the same points wait for each
    # other, and never both.
    values = [
        (
            *(key.step.value, key.subject.value, adapted(key.start)),
            *(int(key.subject_id), names[key.subject, key.subject_id]),
            # Nothing but numbers, whatever a journal says.
            *(int(sums[key][name]) for name in _SUMMED),
        )
        for key in sorted(sums)
    ]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(_INSERT + _ROW + _ADD_TO, values)
            return
        # Each statement is planned again, and psycopg takes microseconds for each
        # parameter: so it is one statement of many rows, with its numbers as text.
        for first in range(0, len(values), _AT_ONCE):
            part = values[first : first + _AT_ONCE]
            rows_text = ", ".join(map(_with_numbers, part))
            strings = [text for row in part for text in (row[2], row[4])]
            cursor.execute(_INSERT + rows_text + _ADD_TO, strings)


def _with_numbers(values: tuple[Any, ...]) -> str:
    """Return a row of SQL whose start and name are parameters."""
    step, subject, _, subject_id, _, *sums = map(str, values)
    return f"({step}, {subject}, %s, {subject_id}, %s, {', '.join(sums)})"


def points_of(
    rows: Iterable[Mapping[str, Any]], zone: ZoneInfo
) -> tuple[dict[PointKey, Sums], dict[tuple[PointSubject, int], str]]:
    """Return the sums that requests add to points, and the names of their subjects.

    The time of a row has to have a zone. One that came late has no point of its hour
    if that would be deleted.
    """
    first_hour = timezone.now() - HOURS_KEPT
    cells: dict[tuple[datetime, int, int, int], Sums] = {}
    names = {(PointSubject.ALL, NONE_ID): ""}
    for row in rows:
        ids = row["model_id"], row["key_id"], row["team_id"]
        cell = (_hour(row["time"], zone), *ids)
        sums = cells.get(cell)
        if sums is None:
            sums = cells[cell] = Counter()
            for subject, id_, name in zip(_SUBJECTS, ids, _NAMES, strict=True):
                names.setdefault((subject, id_), row[name])
        _count(sums, row)
    points: dict[PointKey, Sums] = {}
    for (hour, *subject_ids), sums in cells.items():
        subjects = [
            (PointSubject.ALL, NONE_ID),
            *zip(_SUBJECTS, subject_ids, strict=True),
        ]
        steps = [(PointStep.DAY, _day(hour, zone))]
        if hour >= first_hour:
            steps.append((PointStep.HOUR, hour))
        for step, start in steps:
            for subject, id_ in subjects:
                key = PointKey(step, subject, start, id_)
                point = points.setdefault(key, Counter())
                for name, number in sums.items():
                    point[name] += number
    return points, names


_SUBJECTS = (PointSubject.MODEL, PointSubject.KEY, PointSubject.TEAM)
_NAMES = ("model_name", "key_name", "team_name")


def _count(sums: Sums, row: Mapping[str, Any]) -> None:
    sums["requests"] += 1
    sums["failed"] += bool(row["failed"])
    sums["prompt_tokens"] += row["prompt_tokens"]
    sums["completion_tokens"] += row["completion_tokens"]
    if row["first_token_ms"] is not None:
        sums[FIRST_TOKEN.column_of(row["first_token_ms"])] += 1
    if row["tokens_per_second"]:
        sums[SPEED.column_of(row["tokens_per_second"])] += 1


def _hour(time: datetime, zone: ZoneInfo) -> datetime:
    """Return the start of a time's hour in the zone; some are half an hour off."""
    local = time.astimezone(zone)
    within = timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return time.astimezone(UTC) - within


@lru_cache(maxsize=4096)
def _day(hour: datetime, zone: ZoneInfo) -> datetime:
    """Return when the day of an hour began in the zone."""
    local = hour.astimezone(zone)
    return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
