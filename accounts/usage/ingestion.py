"""Puts entries of journals into the database: each request once."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.usage.metrics import LINES_LOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from accounts.usage.journal_reader import Entry

logger = logging.getLogger(__name__)

_SUBJECT = ("key_id", "owner_id", "team_id", "model_id")
_NAMES = ("key_prefix", "key_name", "owner_name", "team_name", "model_name")
_COLUMNS = frozenset(field.attname for field in UsageRecord._meta.concrete_fields)
_BAD_REQUEST = 400
#: What is raised for a line that no database takes.
_IMPOSSIBLE = (DataError, LookupError, OverflowError, TypeError, ValueError)


@dataclass(slots=True)
class DaySums:
    """What a group of requests adds to a day, by the names of its columns."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    drafted_tokens: int = 0
    cost: int = 0

    def add(self, record: UsageRecord) -> None:
        """Count a request."""
        self.requests += 1
        self.failed += record.failed
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(record, name))


_SUMMED = tuple(field.name for field in fields(DaySums))
_COUNTED = _SUMMED[2:]


def store(entries: Sequence[Entry]) -> None:
    """Write entries as rows, and add those that are new to their days.

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
    records = map(_record, entries)
    by_id = {record.pk: record for record in records if record.time >= oldest}
    with transaction.atomic():
        known = UsageRecord.objects.filter(pk__in=by_id).values_list("pk", flat=True)
        for pk in known:
            del by_id[pk]
        UsageRecord.objects.bulk_create(by_id.values())
        _add_to_days(by_id.values())


def _record(entry: Entry) -> UsageRecord:
    """Return the row of an entry. Members that a later version added are left out."""
    values = {name: value for name, value in entry.items() if name in _COLUMNS}
    values["id"] = uuid.UUID(entry["id"])
    values["time"] = datetime.fromtimestamp(entry["time"], UTC)
    record = UsageRecord(**values)
    record.failed = record.status >= _BAD_REQUEST or not record.completed
    return record


def _add_to_days(records: Iterable[UsageRecord]) -> None:
    sums: dict[tuple[date, ...], DaySums] = defaultdict(DaySums)
    days: dict[tuple[date, ...], UsageDay] = {}
    for record in records:
        subject = {name: getattr(record, name) for name in _SUBJECT}
        names = {name: getattr(record, name) for name in _NAMES}
        day = UsageDay(day=day_of(record.time), **subject, **names)
        key = (day.day, *subject.values())
        days.setdefault(key, day)
        sums[key].add(record)
    UsageDay.objects.bulk_create(days.values(), ignore_conflicts=True)
    # In one order everywhere: two processes that add to the same days wait for each
    # other, and never both.
    for key in sorted(sums):
        subject = dict(zip(_SUBJECT, key[1:], strict=True))
        added = {name: F(name) + getattr(sums[key], name) for name in _SUMMED}
        UsageDay.objects.filter(day=key[0], **subject).update(**added)
