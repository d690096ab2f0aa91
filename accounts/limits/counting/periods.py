"""The days and months of budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from accounts.models.limit import LimitKind

if TYPE_CHECKING:
    from datetime import tzinfo


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a month; ``end`` is the start of the next one."""

    start: datetime
    end: datetime


def period_of(kind: LimitKind, moment: datetime, zone: tzinfo) -> Period:
    """Return the day or the month that a moment is in, in a time zone."""
    local = moment.astimezone(zone)
    start = datetime(local.year, local.month, local.day, tzinfo=zone)
    if kind == LimitKind.TOKENS_DAY:
        # From noon, because a day may have 23 or 25 hours.
        following = start + timedelta(hours=36)
        return Period(
            start, datetime(following.year, following.month, following.day, tzinfo=zone)
        )
    start = start.replace(day=1)
    following = start + timedelta(days=32)
    return Period(start, datetime(following.year, following.month, 1, tzinfo=zone))
