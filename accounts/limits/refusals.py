"""Remembers which keys have no request left, so that no body is read for them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accounts.limits.limit_texts import refusal
from accounts.models.limit import LimitKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from accounts.limits.counting.rules import Rule
    from accounts.limits.counting.store import LimitState

_MAX_KEYS = 4096


@dataclass(frozen=True, slots=True)
class _Refusal:
    state: LimitState
    at: float


class Refusals:
    """Refusals of single requests by limits of requests, until one has refilled.

    Only refilling gives such a limit something back, so until then the answer of Redis
    is known. A limit that was changed is asked again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_slot: dict[str, _Refusal] = {}

    def now(self) -> float:
        """Return the time that ``remember`` takes."""
        return self._clock()

    def remember(self, states: Iterable[LimitState], at: float) -> None:
        """Remember what limits said to a request that was sent ``at`` this time."""
        for state in states:
            rule = state.counter.rule
            is_of_requests = rule.kind == LimitKind.REQUESTS_MINUTE and not rule.model
            if is_of_requests and not state.is_enough and state.counter.cost == 1:
                if len(self._by_slot) >= _MAX_KEYS:
                    self._by_slot.clear()
                self._by_slot[rule.slot] = _Refusal(state, at)

    def check(self, rules: Collection[Rule]) -> None:
        """Raise RateLimited if one of these limits is known to refuse a request."""
        for rule in rules:
            known = self._by_slot.get(rule.slot)
            if known is None:
                continue
            passed = self._clock() - known.at
            if known.state.counter.rule != rule or passed >= known.state.wait_s:
                self._by_slot.pop(rule.slot, None)
                continue
            state = replace(
                known.state,
                wait_s=known.state.wait_s - passed,
                reset_s=known.state.reset_s - passed,
            )
            raise refusal([state])

    def clear(self) -> None:
        """Forget them all."""
        self._by_slot.clear()


#: Those of this process.
refusals = Refusals()
