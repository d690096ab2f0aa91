"""The audit log as rows for people and programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, TypedDict

from llm_manager.lib.spreadsheet import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditlog.models import LogEntry

_VERBS = {0: "created", 1: "changed", 2: "deleted"}


class AuditEntry(TypedDict):
    """A change: when, who and how, of which row, with its values before and after.

    ``changes`` has a pair of texts for each column, or for a list of rows what was
    added to it or removed.
    """

    id: int
    at: str
    by: str
    via: str
    address: str | None
    event: str
    kind: str
    object_id: str
    object: str
    changes: dict[str, Any]
    details: dict[str, Any]


def as_object(entry: LogEntry) -> AuditEntry:
    """Return an entry of the log as an object."""
    details = dict(entry.additional_data or {})
    by, via = details.pop("by", ""), details.pop("via", "")
    event = details.pop("event", None) or _VERBS[entry.action]
    return {
        "id": entry.pk,
        "at": entry.timestamp.isoformat(),
        "by": by,
        "via": via,
        "address": entry.remote_addr,
        "event": event,
        "kind": entry.content_type.model,
        "object_id": entry.object_pk,
        "object": entry.object_repr,
        "changes": entry.changes or {},
        "details": details,
    }


def as_csv(entries: Iterable[LogEntry]) -> Iterator[str]:
    """Yield the lines of a table in CSV."""
    yield _line(list(AuditEntry.__annotations__))
    for entry in entries:
        yield _line(
            [
                json.dumps(value, ensure_ascii=False)
                if isinstance(value, dict)
                else as_text("" if value is None else str(value))
                for value in as_object(entry).values()
            ]
        )


def as_json(entries: Iterable[LogEntry]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for entry in entries:
        yield json.dumps(as_object(entry), ensure_ascii=False) + "\n"


def _line(cells: list[str]) -> str:
    output = io.StringIO()
    csv.writer(output).writerow(cells)
    return output.getvalue()
