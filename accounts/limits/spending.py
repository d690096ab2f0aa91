"""What was spent in a day or a month, from the database's sums of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.conf import settings

from accounts.models import ApiKey, LimitKind
from accounts.models.usage import NONE_ID
from accounts.session_access import session_owner_id
from accounts.usage.totals import spent as spent_since

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from accounts.limits.counting.rules import Rule
    from accounts.usage.totals import Spent


def budget_zone() -> tzinfo:
    """Return the time zone of days and months."""
    return ZoneInfo(settings.CONFIG.usage.time_zone)


def spent(rule: Rule, since: datetime) -> int:
    """Return what was used by a budget since the start of a day, in its units.

    Two queries for a key, and one more for each key that it took the place of; one for
    an owner, a team or a person's sessions. Raises DatabaseError.
    """
    return sum(_units(rule, sums) for sums in _sums(rule, since))


def _sums(rule: Rule, since: datetime) -> list[Spent]:
    spender = rule.spender
    keys: list[int | None] = [None]
    owner = spender.owner
    if spender.key is not None and (person := session_owner_id(spender.key)):
        keys, owner = [NONE_ID], person
    elif spender.key is not None:
        of_lineage = ApiKey.objects.filter(lineage=spender.key)
        keys = list(of_lineage.values_list("pk", flat=True))
    return [
        spent_since(
            since.date(),
            key=key,
            owner=owner,
            team=spender.team,
            model=spender.model,
        )
        for key in keys
    ]


def _units(rule: Rule, sums: Spent) -> int:
    return sums.cost if rule.kind == LimitKind.MONEY_MONTH else sums.tokens
