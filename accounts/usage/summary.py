"""Usage by day, key, owner, team or model, from the sums of days."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, get_args

from django.db.models import Max, Sum
from django.utils import timezone

from accounts.models import UsageDay
from accounts.usage.ingestion import day_of
from registry.prices import BILLION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Dimension = Literal["day", "key", "owner", "team", "model"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
#: More than anybody reads.
MAX_ROWS = 10_000

#: What rows are grouped by, and what each group is called.
_GROUPS: Mapping[Dimension, tuple[str, Mapping[str, str]]] = {
    "day": ("day", {}),
    "key": ("key_id", {"key": "key_prefix", "key_name": "key_name"}),
    "owner": ("owner_id", {"owner": "owner_name"}),
    "team": ("team_id", {"team": "team_name"}),
    "model": ("model_id", {"model": "model_name"}),
}
#: The columns that a filter's text is compared with.
_FILTERS = {
    "key": "key_prefix",
    "owner": "owner_name",
    "team": "team_name",
    "model": "model_name",
}
_SUMS = (
    *("requests", "failed", "prompt_tokens", "cached_tokens", "audio_tokens"),
    *("completion_tokens", "reasoning_tokens", "drafted_tokens", "cost"),
)
_AGO = re.compile(r"(\d{1,4})([dw])")
_DAYS = {"d": 1, "w": 7}


class TooManyUsageRows(Exception):
    """A summary of more rows than are returned at once."""


class UsageCounts(TypedDict):
    """Sums of requests. `failed` were refused, failed or interrupted. `cost` is in
    `currency`.
    """

    requests: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    audio_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    drafted_tokens: int
    cost: float


class UsageGroup(UsageCounts, total=False):
    """The sums of a group, and the names of what it is of."""

    day: str
    key: str
    key_name: str
    owner: str
    team: str
    model: str


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """Days, with the first and the last one."""

    since: date
    until: date


def today() -> date:
    """Return the day that it is in the zone of the sums."""
    return day_of(timezone.now())


def day_from(text: str) -> date:
    """Return the day that a text means: a date, or as many days or weeks ago.

    ``2026-11-29``, ``0d`` (today), ``7d``, ``2w``. Raises ValueError.
    """
    if ago := _AGO.fullmatch(text):
        return today() - timedelta(days=int(ago[1]) * _DAYS[ago[2]])
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"'{text}' is no day: write 2026-11-29, or 7d for seven days ago."
        ) from None


def usage_summary(
    period: UsagePeriod, by: Sequence[Dimension], **filters: str
) -> list[UsageGroup]:
    """Return the sums of each group, days in their order, else most tokens first.

    ``filters`` are a key's prefix, and names of owner, team and model. Without ``by``
    there is one group. One query. Raises TooManyUsageRows.
    """
    days = UsageDay.objects.filter(day__range=(period.since, period.until))
    for name, text in filters.items():
        days = days.filter(**{_FILTERS[name]: text})
    groups = [_GROUPS[dimension] for dimension in by]
    columns = [column for column, _ in groups]
    labels = {label: column for _, names in groups for label, column in names.items()}
    # Names change; of several in one group any will do.
    shown = {f"shown_{label}": Max(column) for label, column in labels.items()}
    sums = {f"sum_{name}": Sum(name) for name in _SUMS}
    if not columns:
        return [_group(days.aggregate(**sums), by, labels)]
    order = ["day"] if "day" in by else []
    rows = (
        days.order_by()
        .values(*columns)
        .annotate(**shown, **sums)
        .order_by(*order, "-sum_completion_tokens", *columns)[: MAX_ROWS + 1]
    )
    found = [_group(row, by, labels) for row in rows]
    if len(found) > MAX_ROWS:
        raise TooManyUsageRows(
            f"There are more than {MAX_ROWS:,} groups. Ask for fewer days, or by less."
        )
    return found


def _group(
    row: Mapping[str, Any], by: Sequence[Dimension], labels: Mapping[str, str]
) -> UsageGroup:
    group: dict[str, Any] = {}
    if "day" in by:
        group["day"] = row["day"].isoformat()
    group |= {label: row[f"shown_{label}"] for label in labels}
    group |= {name: row[f"sum_{name}"] or 0 for name in _SUMS}
    group["cost"] = group["cost"] / BILLION
    return cast("UsageGroup", group)
