"""A row of usage as an object for people and programs."""

from __future__ import annotations

from typing import Any

from accounts.models import UsageRecord
from registry.prices import BILLION

COLUMNS = tuple(field.attname for field in UsageRecord._meta.concrete_fields)


def as_object(record: UsageRecord) -> dict[str, Any]:
    """Return a row as an object with its columns; the cost is in the currency."""
    values = {name: getattr(record, name) for name in COLUMNS}
    values["id"] = str(record.pk)
    values["time"] = record.time.isoformat()
    values["cost"] = record.cost / BILLION
    return values
