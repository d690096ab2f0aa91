"""Rows of usage as tables for people and programs, however many there are."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from accounts.models import UsageRecord
from llm_manager.lib.spreadsheet import as_text
from llm_manager.lib.threads import in_thread
from registry.prices import BILLION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from django.db.models import QuerySet

_PART = 2000
_COLUMNS = [field.attname for field in UsageRecord._meta.concrete_fields]


def as_object(record: UsageRecord) -> dict[str, Any]:
    """Return a row as an object with its columns; the cost is in the currency."""
    values = {name: getattr(record, name) for name in _COLUMNS}
    values["id"] = str(record.pk)
    values["time"] = record.time.isoformat()
    values["cost"] = record.cost / BILLION
    return values


async def as_csv(records: QuerySet[UsageRecord]) -> AsyncIterator[bytes]:
    """Yield a table in CSV, in parts."""
    yield _lines([_COLUMNS])
    async for part in _parts(records):
        yield _lines([list(map(_cell, as_object(each).values())) for each in part])


async def as_json(records: QuerySet[UsageRecord]) -> AsyncIterator[bytes]:
    """Yield one JSON object a line, in parts."""
    async for part in _parts(records):
        lines = (json.dumps(as_object(each), ensure_ascii=False) for each in part)
        yield "".join(f"{line}\n" for line in lines).encode()


async def _parts(records: QuerySet[UsageRecord]) -> AsyncIterator[list[UsageRecord]]:
    """Yield the rows in parts, the newest first, each by a query of its own.

    A cursor would be open for as long as the client reads.
    """
    last: UUID | None = None
    while part := await in_thread(_part(records, last)):
        yield part
        last = part[-1].pk


def _part(
    records: QuerySet[UsageRecord], last: UUID | None
) -> Callable[[], list[UsageRecord]]:
    rest = records if last is None else records.filter(pk__lt=last)
    return lambda: list(rest.order_by("-pk")[:_PART])


def _cell(value: Any) -> str:
    return as_text("" if value is None else str(value))


def _lines(rows: list[list[str]]) -> bytes:
    output = io.StringIO()
    csv.writer(output).writerows(rows)
    return output.getvalue().encode()
