"""What was spent since a day: what budgets are restored from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Sum

from accounts.models import UsageDay

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, their tokens, and their cost in billionths of the currency."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of prompts and completions."""
        return self.prompt_tokens + self.completion_tokens


def spent(
    since: date,
    *,
    key: int | None = None,
    owner: int | None = None,
    team: int | None = None,
    model: int | None = None,
) -> Spent:
    """Return what was spent from this day on, in the zone ``usage.time_zone``.

    The ids are primary keys; None is any. One query of the sums of days. What ended
    within the last seconds may still be missing.
    """
    subject = {"key_id": key, "owner_id": owner, "team_id": team, "model_id": model}
    chosen = {name: id_ for name, id_ in subject.items() if id_ is not None}
    days = UsageDay.objects.filter(day__gte=since, **chosen)
    names = Spent.__dataclass_fields__
    sums = days.aggregate(**{name: Sum(name) for name in names})
    return Spent(**{name: value or 0 for name, value in sums.items()})
