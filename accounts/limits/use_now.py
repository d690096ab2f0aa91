"""How much of limits is used now, for people to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.limits.admission import states_of
from accounts.limits.counting.rules import Rule, Spender, shared_rule
from accounts.limits.limit_rows import rules_of
from accounts.limits.limit_texts import amount_text, limit_text
from accounts.models import Limit, LimitKind, Notice, NoticeKind
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.models import ApiKey

#: A budget's notice is no older than its period.
_LONGEST_PERIOD = timedelta(days=32)
#: More than anybody reads.
_MAX_NOTICES = 100


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What is used of a limit, with its texts; ``percent`` is 100 at most."""

    name: str
    holder: str
    text: str
    percent: int
    resets: str = ""


def uses_of_limits(limits: Sequence[Limit]) -> list[LimitUse]:
    """Return the use of each, in their order, by one question.

    None of any if Redis does not answer.
    """
    return _uses([shared_rule(limit) for limit in limits])


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


def budgets_near_end() -> list[LimitUse]:
    """Return the budgets of which most is used, the fullest first.

    Each of them has a notice of its period, and notices are found faster than all
    budgets are asked. Two queries, and a call of Redis; none if Redis does not answer.
    """
    since = timezone.now() - _LONGEST_PERIOD
    notices = Notice.objects.filter(kind=NoticeKind.BUDGET, created_at__gte=since)
    noticed = [
        _noticed_rule(notice)
        for notice in notices.order_by("-pk")[:_MAX_NOTICES]
        if datetime.fromisoformat(notice.details["resets_at"]) > timezone.now()
    ]
    limits = Limit.objects.filter(kind__in={rule.kind for rule in noticed})
    holding = list(limits.select_related("key", "model")) if noticed else []
    # A limit that was raised or deleted leaves its notice behind.
    rules = {
        rule.slot: rule
        for rule in noticed
        if any(_is_of(limit, rule) for limit in holding)
    }
    uses = _uses(list(rules.values()))
    return sorted(uses, key=lambda use: -use.percent)


def _noticed_rule(notice: Notice) -> Rule:
    """Return the budget that a notice is about: its slot says which."""
    slot, _, _ = notice.slot.rsplit("/", 2)
    group, *model = slot.rpartition("/")[0].split("/model:")
    kind, _, pk = group.partition(":")
    owner = int(pk) if kind == "user" else None
    team = int(pk) if kind == "team" else None
    # A session's group is its lineage.
    key = None if owner or team else pk if kind == "key" else group
    return Rule(
        kind=LimitKind(notice.details["kind"]),
        amount=int(notice.details["limit"]),
        slot=slot,
        holder=notice.details["holder"],
        spender=Spender(key, owner, team, int(model[0]) if model else None),
        model=notice.details["model"] or "",
    )


def _is_of(limit: Limit, rule: Rule) -> bool:
    """Whether a limit is still what a notice was about."""
    spender = rule.spender
    about = limit.kind, limit.units, limit.model_id
    if about != (rule.kind, rule.amount, spender.model):
        return False
    if spender.key is None:
        return (limit.team_id, limit.user_id) == (spender.team, spender.owner)
    return limit.is_for_each_key or (
        limit.key is not None and limit.key.lineage == spender.key
    )


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
