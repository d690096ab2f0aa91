"""Puts entries of journals into the database: each request once."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.usage.metrics import LINES_LOST
from accounts.usage.points import points_add

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from accounts.usage.journal_reader import Entry

    #: The columns of a row, in their order.
    Row = dict[str, Any]

logger = logging.getLogger(__name__)

_SUBJECT = ("key_id", "owner_id", "team_id", "model_id")
_NAMES = ("key_prefix", "key_name", "owner_name", "team_name", "model_name")
_COUNTED = (
    *("prompt_tokens", "cached_tokens", "audio_tokens", "completion_tokens"),
    *("reasoning_tokens", "drafted_tokens", "cost"),
)
_SUMMED = ("requests", "failed", *_COUNTED)
_DEFAULTS: Row = {
    field.attname: field.get_default() for field in UsageRecord._meta.concrete_fields
}
#: Django's own insertion costs four times as much CPU as all else of a row.
_INSERT = (
    f"INSERT INTO {UsageRecord._meta.db_table} "  # noqa: S608 - names of ours
    f"({', '.join(_DEFAULTS)}) VALUES ({', '.join(['%s'] * len(_DEFAULTS))})"
)
#: A day is added to in the statement that makes it.
_DAY_COLUMNS = ("day", *_SUBJECT, *_NAMES, *_SUMMED)
_DAY_TABLE = UsageDay._meta.db_table
_ADD_TO_DAY = (
    f"INSERT INTO {_DAY_TABLE} "  # noqa: S608 - names of ours
    f"({', '.join(_DAY_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_DAY_COLUMNS))}) "
    f"ON CONFLICT (day, {', '.join(_SUBJECT)}) DO UPDATE SET "
    + ", ".join(f"{name} = {_DAY_TABLE}.{name} + excluded.{name}" for name in _SUMMED)
)
_BAD_REQUEST = 400
#: What is raised for a line that no database takes.
_IMPOSSIBLE = (DataError, LookupError, OverflowError, TypeError, ValueError)


def store(entries: Sequence[Entry]) -> None:
    """Write entries as rows; add those that are new to their days and points.

    An entry whose row is there already changes nothing: entries may be stored any
    number of times. Raises DatabaseError while the database is away or locked.
    """
    try:
        _store(entries)
    except IntegrityError:
        # Another process stores the same ones: now they are there. Or a row is
        # impossible, as others below.
        _store_each(entries)
    except _IMPOSSIBLE as error:
        logger.warning("Usage is stored line by line: %s", error)
        _store_each(entries)


def _store_each(entries: Sequence[Entry]) -> None:
    for entry in entries:
        try:
            _store([entry])
        except (IntegrityError, *_IMPOSSIBLE):
            logger.exception("A line of the usage journal cannot be stored")
            LINES_LOST.inc()


def day_of(time: datetime) -> date:
    """Return the day of a time, in the zone of the sums."""
    return time.astimezone(ZoneInfo(settings.CONFIG.usage.time_zone)).date()


def _store(entries: Iterable[Entry]) -> None:
    # Older ones may have been stored and deleted; they would be counted again.
    oldest = timezone.now() - timedelta(days=settings.CONFIG.usage.retention_days)
    by_id = {row["id"]: row for row in map(_row, entries) if row["time"] >= oldest}
    with transaction.atomic():
        known = UsageRecord.objects.filter(pk__in=by_id).values_list("pk", flat=True)
        for pk in known:
            del by_id[pk]
        if by_id:
            _insert(by_id.values())
            _add_to_days(by_id.values())
            points_add(by_id.values())


def _row(entry: Entry) -> Row:
    """Return the columns of an entry. Members of a later version are left out."""
    row = dict(_DEFAULTS)
    for name, value in entry.items():
        if name in row:
            row[name] = value
    row["id"] = uuid.UUID(entry["id"])
    row["time"] = datetime.fromtimestamp(entry["time"], UTC)
    row["failed"] = row["status"] >= _BAD_REQUEST or not row["completed"]
    return row


def _insert(rows: Iterable[Row]) -> None:
    is_native = connection.features.has_native_uuid_field
    adapted = connection.ops.adapt_datetimefield_value
    values = [
        tuple(
            {
                **row,
                "id": row["id"] if is_native else row["id"].hex,
                "time": adapted(row["time"]),
            }.values()
        )
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, values)


def _add_to_days(rows: Iterable[Row]) -> None:
    days: dict[tuple[Any, ...], Row] = {}
    zone = ZoneInfo(settings.CONFIG.usage.time_zone)
    for row in rows:
        day = row["time"].astimezone(zone).date()
        key = (day, *(row[name] for name in _SUBJECT))
        sums = days.get(key)
        if sums is None:
            about = {name: row[name] for name in (*_SUBJECT, *_NAMES)}
            sums = days[key] = {"day": day, **about, **dict.fromkeys(_SUMMED, 0)}
        sums["requests"] += 1
        sums["failed"] += row["failed"]
        for name in _COUNTED:
            sums[name] += row[name]
    adapted = connection.ops.adapt_datefield_value
    # In one order everywhere: two processes that add to the same days wait for each
    # other, and never both.
    values = [
        tuple({**days[key], "day": adapted(key[0])}.values()) for key in sorted(days)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_ADD_TO_DAY, values)
