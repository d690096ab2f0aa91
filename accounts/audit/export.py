"""The audit log as rows for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
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
