"""How much of limits is used now, for people to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q
from redis.exceptions import RedisError

from accounts.limits.admission import states_of
from accounts.limits.counting.rules import shared_rule
from accounts.limits.limit_rows import rules_of
from accounts.limits.limit_texts import amount_text, limit_text
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.limits.counting.rules import Rule
    from accounts.models import ApiKey, Limit


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What is used of a limit, with its texts; ``percent`` is 100 at most."""

    name: str
    holder: str
    text: str
    percent: int
    resets: str = ""


def limit_uses(limit: Limit) -> list[LimitUse]:
    """Return the use of one limit; none if Redis does not answer."""
    return _uses([shared_rule(limit)])


def key_uses(key: ApiKey) -> list[LimitUse]:
    """Return the use of every limit that holds for a key, of each model too."""
    rules = {rule.slot: rule for rule in rules_of(key, None)}
    mine = Q(limits__key=key) | Q(limits__user=key.owner_id)
    if key.team_id is not None:
        mine |= Q(limits__team=key.team_id)
    mine |= Q(limits__key=None, limits__user=None, limits__team=None)
    for model in Model.objects.filter(mine, limits__isnull=False).distinct():
        rules |= {rule.slot: rule for rule in rules_of(key, model)}
    return _uses(list(rules.values()))


def _uses(rules: Sequence[Rule]) -> list[LimitUse]:
    if not rules:
        return []
    try:
        states = states_of(rules).states
    except RedisError:
        return []
    uses = []
    for state in states:
        rule, period = state.counter.rule, state.counter.period
        used = rule.amount - state.left
        uses.append(
            LimitUse(
                name=limit_text(rule),
                holder=rule.holder,
                text=f"{amount_text(rule, max(used, 0))} used",
                percent=min(max(used * 100 // rule.amount, 0), 100),
                resets=f"resets {period.end:%Y-%m-%d %H:%M %Z}" if period else "",
            )
        )
    return uses
