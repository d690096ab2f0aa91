"""Rows as tables for people and programs, however many there are."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, TypeVar

from llm_manager.lib.tables.spreadsheet import as_text
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from django.db.models import Model, QuerySet

_PART = 2000
_Row = TypeVar("_Row", bound="Model")


async def as_csv(
    rows: QuerySet[_Row],
    columns: Iterable[str],
    describe: Callable[[_Row], Mapping[str, Any]],
) -> AsyncIterator[bytes]:
    """Yield a table in CSV, in parts."""
    yield _lines([list(columns)])
    async for part in _parts(rows):
        yield _lines([list(map(_cell, describe(each).values())) for each in part])


async def as_json_lines(
    rows: QuerySet[_Row], describe: Callable[[_Row], Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    """Yield one JSON object a line, in parts."""
    async for part in _parts(rows):
        lines = (json.dumps(describe(each), ensure_ascii=False) for each in part)
        yield "".join(f"{line}\n" for line in lines).encode()


async def _parts(rows: QuerySet[_Row]) -> AsyncIterator[list[_Row]]:
    """Yield rows in parts, the highest primary key first, each by a query of its own.

    A cursor would be open for as long as the client reads.
    """
    last: Any = None
    while part := await in_thread(_part(rows, last)):
        yield part
        last = part[-1].pk


def _part(rows: QuerySet[_Row], last: Any) -> Callable[[], list[_Row]]:
    rest = rows if last is None else rows.filter(pk__lt=last)
    return lambda: list(rest.order_by("-pk")[:_PART])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return as_text("" if value is None else str(value))


def _lines(rows: list[list[str]]) -> bytes:
    output = io.StringIO()
    csv.writer(output).writerows(rows)
    return output.getvalue().encode()
