"""What was spent in a day or a month, from the database's rows of usage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

    from accounts.limits.counting.rules import Rule


def budget_zone() -> tzinfo:
    """Return the time zone of days and months."""
    return UTC


def spent(rule: Rule, since: datetime) -> int:
    """Return what was used by a budget since a time, in its units."""
    return 0
