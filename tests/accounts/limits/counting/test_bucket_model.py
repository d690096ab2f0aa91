"""The bucket in Redis does what a bucket on paper does."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import redis.asyncio
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from accounts.limits.counting.redis_client import redis_client
from accounts.limits.counting.store import Counter, settle, take
from accounts.models import LimitKind
from tests.accounts.limits.counting.rules import counter, make_rule

#: Below this a difference is rounding: the script's own is a millionth.
_ROUNDING = Fraction(1, 10_000)


class PaperBucket:
    """A bucket of ``amount`` that is full again after ``window_s``.

    Only the script knows when it settles, and a bucket that was full before it has less
    after it: the level is between ``low`` and ``high``.
    """

    def __init__(self, amount: int, window_s: int) -> None:
        self.amount = Fraction(amount)
        self.rate = Fraction(amount, window_s)
        self.low = self.high = self.amount
        self.at: Fraction | None = None
        self.settlements: list[int] = []

    def look(self, now: float) -> None:
        """Let time pass, with the settlements that came meanwhile."""
        refill = (Fraction(now) - (self.at or Fraction(now))) * self.rate
        self.at = Fraction(now)
        change = sum(self.settlements)
        self.settlements.clear()
        early = min(self.amount, self.high + change + refill)
        late = min(self.amount, min(self.amount, self.low + refill) + change)
        self.low, self.high = min(early, late), max(early, late)

    def take(self, cost: int) -> None:
        """Take from it."""
        self.low -= cost
        self.high -= cost


@given(
    amount=st.integers(1, 2000),
    window_s=st.integers(1, 3),
    requests=st.lists(
        st.tuples(st.integers(0, 300), st.none() | st.integers(0, 600)), max_size=30
    ),
)
def test_it_takes_refuses_and_settles_like_a_bucket_on_paper(
    amount: int, window_s: int, requests: list[tuple[int, int | None]]
) -> None:
    rule = make_rule(LimitKind.TOKENS_MINUTE, amount, window_s=window_s)
    paper = PaperBucket(amount, window_s)
    for number, (wanted, used) in enumerate(requests):
        cost = min(wanted, amount)
        name = f"{rule.slot}/{number}"
        taken = take(redis_client(), name, [counter(rule, cost)])
        paper.look(taken.now)
        (state,) = taken.states
        if taken.is_taken:
            assert cost == 0 or paper.high + _ROUNDING >= cost
            paper.take(cost)
        else:
            assert paper.low - _ROUNDING < cost
            longest = (cost - paper.low) / paper.rate + _ROUNDING
            shortest = (cost - paper.high) / paper.rate - _ROUNDING
            assert shortest <= Fraction(state.wait_s) <= longest
        assert paper.low - 1 - _ROUNDING <= state.left <= paper.high + _ROUNDING
        if taken.is_taken and used is not None:
            asyncio.run(_settle(name, [(counter(rule, cost), used)]))
            paper.settlements.append(cost - used)


async def _settle(request_id: str, used: list[tuple[Counter, int]]) -> None:
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as client:
        await settle(client, request_id, used)
