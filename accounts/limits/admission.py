"""Admits requests by the limits of their key, and settles what they have used.

A request's tokens are reserved by an estimate before it runs. When it ends, the
engine's count takes the estimate's place, whether it was answered, failed or abandoned.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers
from redis.exceptions import RedisError

from accounts.errors import TooManySequences, TooManyTokens
from accounts.limits.counting.periods import period_of
from accounts.limits.counting.places import places
from accounts.limits.counting.redis_client import redis_client
from accounts.limits.counting.store import Counter, places_of, settle, take
from accounts.limits.demand import used_of
from accounts.limits.limit_rows import rules_of
from accounts.limits.limit_texts import limit_headers, limit_text, refusal
from accounts.limits.refusals import refusals
from accounts.limits.soft_limits import note_spending
from accounts.limits.spending import budget_zone, spent
from accounts.models.limit import LimitKind
from registry.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accounts.limits.counting.rules import Rule
    from accounts.limits.counting.store import LimitAnswer
    from accounts.limits.demand import Demand, Tokens
    from accounts.models import ApiKey
    from accounts.session_access import SessionAccess
    from registry.models import Model

logger = logging.getLogger(__name__)

_COUNTS_REQUESTS = (LimitKind.REQUESTS_MINUTE, LimitKind.PARALLEL)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request that the limits have let in."""

    request_id: str
    counters: tuple[Counter, ...]
    headers: dict[str, str]
    prices: Prices

    async def settle(self, tokens: Tokens) -> None:
        """Replace what was reserved by what was used, and give the request's place up.

        Without Redis what was reserved stays counted, and the log says so.
        """
        settled = [
            (counter, self._used(counter, tokens))
            for counter in self.counters
            if counter.is_settled
        ]
        places.forget(places_of(self.request_id, self.counters))
        if not settled:
            return
        layer: Any = channel_layers["queue"]
        try:
            amounts = await settle(layer.connection(0), self.request_id, settled)
        except (OSError, RedisError) as error:
            logger.warning(
                "A request's tokens stay counted as they were estimated: %s", error
            )
            return
        for (counter, _), amount in zip(settled, amounts, strict=True):
            if amount is not None:
                note_spending(counter, amount)

    def keep_places(self, *, for_s: float) -> None:
        """Keep the request's place among the parallel ones while it runs.

        It runs for ``for_s`` seconds at most.
        """
        places.keep(places_of(self.request_id, self.counters), for_s=for_s)

    def _used(self, counter: Counter, tokens: Tokens) -> int:
        if counter.rule.kind == LimitKind.PARALLEL:
            return 0
        return used_of(counter.rule.kind, tokens, self.prices)


def admit(
    key: ApiKey | SessionAccess,
    model: Model | None,
    demand: Callable[[bool], Demand],
    *,
    is_parallel: bool = True,
) -> Reservation:
    """Take what a request needs from every limit of its key, or refuse it.

    ``demand`` is called with whether tokens have to be estimated. What is not
    ``is_parallel`` takes no place of the requests at once: it waits for the others. One
    round trip to Redis, two where a budget has to be loaded. Raises RateLimited,
    QuotaExceeded, TooManySequences, TooManyTokens and RedisError.
    """
    rules = [
        rule
        for rule in rules_of(key, model)
        if is_parallel or rule.kind != LimitKind.PARALLEL
    ]
    needs_tokens = any(rule.kind not in _COUNTS_REQUESTS for rule in rules)
    wanted = demand(needs_tokens)
    prices = model.prices if model is not None and needs_tokens else Prices()
    request_id = uuid.uuid4().hex
    if not rules:
        return Reservation(request_id, (), {}, prices)
    costs = [_cost(rule, wanted, prices) for rule in rules]
    asked_at = refusals.now()
    taken = _take(request_id, rules, costs)
    if not taken.is_taken:
        refusals.remember(taken.states, asked_at)
        raise refusal(taken.states, requests=wanted.requests)
    counters = tuple(state.counter for state in taken.states)
    headers = limit_headers(taken.states, requests=wanted.requests)
    return Reservation(request_id, counters, headers, prices)


def states_of(rules: Sequence[Rule]) -> LimitAnswer:
    """Return what is left of limits now; nothing is taken. Raises RedisError."""
    return _take("", rules, [0] * len(rules), peek=True)


def _cost(rule: Rule, demand: Demand, prices: Prices) -> int:
    """Return what a request costs. Raises TooManySequences and TooManyTokens."""
    if rule.kind in _COUNTS_REQUESTS:
        if demand.requests > rule.amount:
            raise TooManySequences(cost=demand.requests, limit=limit_text(rule))
        return demand.requests
    if rule.kind == LimitKind.TOKENS_MINUTE:
        if demand.least > rule.amount:
            raise TooManyTokens(tokens=demand.least, limit=limit_text(rule))
        # An answer may be shorter than a request allows, so it waits for a full bucket
        # at most.
        return min(demand.tokens.total, rule.amount)
    return used_of(rule.kind, demand.tokens, prices)


def _take(
    request_id: str, rules: Sequence[Rule], costs: Sequence[int], *, peek: bool = False
) -> LimitAnswer:
    client = redis_client()
    zone = budget_zone()
    now = datetime.now(UTC)
    known: dict[str, int] = {}
    # Each of these ends: Redis says the time, and a budget is loaded once.
    while True:
        counters = []
        for rule, cost in zip(rules, costs, strict=True):
            period = period_of(rule.kind, now, zone) if rule.kind.is_budget else None
            counters.append(Counter(rule, cost, period, known.get(rule.slot)))
        taken = take(client, request_id, counters, peek=peek)
        if taken.is_other_time:
            now = datetime.fromtimestamp(taken.now, UTC)
            known.clear()
        elif taken.is_missing:
            for counter in counters:
                if counter.period is not None:
                    start = counter.period.start
                    known[counter.rule.slot] = spent(counter.rule, start)
        else:
            return taken
