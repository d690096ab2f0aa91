"""Limits for tests, as plain data."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from accounts.limits.counting.periods import period_of
from accounts.limits.counting.rules import Rule
from accounts.limits.counting.store import Counter

if TYPE_CHECKING:
    from accounts.models import LimitKind

_numbers = itertools.count(1)


def make_rule(kind: LimitKind, amount: int, **overrides: Any) -> Rule:
    """Return a limit that nothing has been taken from."""
    slot = f"test:{next(_numbers)}/{kind}"
    return Rule(kind, amount, **{"slot": slot, "holder": "a test", **overrides})


def counter(rule: Rule, cost: int, spent: int | None = None) -> Counter:
    """Return what a request costs by a limit, in the period of now."""
    period = None
    if rule.kind.is_budget:
        period = period_of(rule.kind, datetime.now(UTC), UTC)
    return Counter(rule, cost, period, spent)
