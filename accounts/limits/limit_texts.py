"""What clients read about limits: headers, and why a request is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.errors import LimitReached, QuotaExceeded, RateLimited
from accounts.limits.duration import duration_text
from accounts.models.limit import LimitKind
from registry.prices import BILLION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accounts.limits.counting.rules import Rule
    from accounts.limits.counting.store import LimitState

#: Which limits each group of headers is about.
_GROUPS = {
    "requests": (LimitKind.REQUESTS_MINUTE,),
    "tokens": (LimitKind.TOKENS_MINUTE, LimitKind.TOKENS_DAY, LimitKind.TOKENS_MONTH),
}


def limit_headers(states: Iterable[LimitState], *, requests: int = 1) -> dict[str, str]:
    """Return the headers of an answer, of the limits that have least left."""
    headers: dict[str, str] = {}
    for name, kinds in _GROUPS.items():
        group = [state for state in states if state.counter.rule.kind in kinds]
        if group:
            narrowest = min(group, key=lambda state: state.left)
            headers |= _headers(name, narrowest)
    if requests > 1 and headers:
        headers["x-ratelimit-cost-requests"] = str(requests)
    return headers


def refusal(states: Sequence[LimitState], *, requests: int = 1) -> LimitReached:
    """Return the error of a request that some limits refuse: of the longest wait."""
    full = [state for state in states if not state.is_enough]
    state = max(full, key=lambda state: state.wait_s)
    rule = state.counter.rule
    error_class = QuotaExceeded if rule.kind.is_budget else RateLimited
    wait = max(math.ceil(state.wait_s), 1)
    return error_class(
        f"{_reached(rule)} {_need(state, requests)}{_when(state, wait)}",
        wait=wait,
        limit_name=limit_name(rule),
        headers=limit_headers(states, requests=requests),
    )


def limit_name(rule: Rule) -> str:
    """Return what a row of usage says of a limit that refused: kind and whose."""
    return f"{rule.kind.value} {rule.slot.partition('/')[0]}"


def amount_text(rule: Rule, amount: int) -> str:
    """Return an amount with its unit."""
    if rule.kind == LimitKind.MONEY_MONTH:
        return f"{amount / BILLION:,.2f} {settings.CONFIG.limits.currency}"
    unit = "tokens" if "tokens" in rule.kind.value else "requests"
    return f"{amount:,} {unit}"


def limit_text(rule: Rule) -> str:
    """Return a limit as in "60 requests in 60 s of the model 'qwen'"."""
    model = f" of the model '{rule.model}'" if rule.model else ""
    if rule.kind == LimitKind.PARALLEL:
        return f"{rule.amount:,} requests at once{model}"
    period = {"day": "a day", "month": "a month"}.get(
        rule.kind.value.rpartition("_")[2], f"in {rule.window_s} s"
    )
    return f"{amount_text(rule, rule.amount)} {period}{model}"


def _reached(rule: Rule) -> str:
    what = "Quota exceeded" if rule.kind.is_budget else "Rate limit reached"
    return f"{what}: {limit_text(rule)}, for {rule.holder}."


def _need(state: LimitState, requests: int) -> str:
    rule, cost = state.counter.rule, state.counter.cost
    if rule.kind in (LimitKind.REQUESTS_MINUTE, LimitKind.PARALLEL):
        return f"This request counts as {requests}. " if requests > 1 else ""
    left = amount_text(rule, max(state.left, 0))
    return f"{left} are left, and this request may need {amount_text(rule, cost)}. "


def _when(state: LimitState, wait: int) -> str:
    if state.counter.period is not None:
        return f"It resets at {state.counter.period.end:%Y-%m-%d %H:%M %Z}."
    if state.counter.rule.kind == LimitKind.PARALLEL:
        return "Try again when one of them has ended."
    return f"Try again in {wait} s."


def _headers(name: str, state: LimitState) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(state.counter.rule.amount),
        f"x-ratelimit-remaining-{name}": str(max(state.left, 0)),
        f"x-ratelimit-reset-{name}": duration_text(state.reset_s),
    }
