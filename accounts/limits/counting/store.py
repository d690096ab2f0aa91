"""The state of limits in Redis: one script takes from all of them, or from none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from accounts.models.limit import LimitKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.limits.counting.periods import Period
    from accounts.limits.counting.rules import Rule

_PREFIX = "llm-manager:limits:"
#: How long a request keeps its place among the parallel ones after its web process has
#: died. Places are renewed every third of it.
LEASE_S = 60
#: How long it is remembered what was reserved for a request, and that it has ended:
#: longer than any answer takes.
_KEPT_S = 6 * 3600
_MICRO = 1_000_000


class _Script:
    def __init__(self, name: str) -> None:
        self._text = files("accounts.limits.counting").joinpath("lua", name).read_text()
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run it in one round trip, two after a restart. Raises RedisError."""
        try:
            return client.evalsha(self._sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self._text, len(keys), *keys, *arguments)

    async def arun(
        self, client: Any, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Any:
        """Do the same with an asynchronous client."""
        try:
            return await client.evalsha(self._sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *arguments)


_TAKE, _SETTLE, _RENEW = (
    _Script("take.lua"),
    _Script("settle.lua"),
    _Script("renew.lua"),
)


@dataclass(frozen=True, slots=True)
class Counter:
    """A rule with the period that it counts now, and what a request costs by it.

    ``spent`` is what was used before in the period; None asks Redis alone.
    """

    rule: Rule
    cost: int
    period: Period | None = None
    spent: int | None = None

    @property
    def key(self) -> str:
        """Where its state is in Redis."""
        since = f"/{self.period.start:%Y-%m-%dT%H%z}" if self.period else ""
        return f"{_PREFIX}{self.rule.slot}{since}"

    def as_row(self, *, last: int | None) -> list[Any]:
        """Return it as the scripts read it."""
        kind, period = self.rule.kind, self.period
        if kind == LimitKind.PARALLEL:
            return ["places", self.rule.amount, self.cost, 0, 0, last]
        if period is None:
            window = self.rule.window_s * _MICRO
            return ["bucket", self.rule.amount, self.cost, 0, window, last]
        start, end = period.start.timestamp(), period.end.timestamp()
        row = ["budget", self.rule.amount, self.cost]
        return [*row, int(start * _MICRO), int(end * _MICRO), last]

    @property
    def is_settled(self) -> bool:
        """Whether the end of a request changes it."""
        return self.rule.kind != LimitKind.REQUESTS_MINUTE


@dataclass(frozen=True, slots=True)
class LimitState:
    """What a limit has left, and the seconds until there is enough, or all, again."""

    counter: Counter
    is_enough: bool
    left: int
    wait_s: float
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitAnswer:
    """What the limits said; ``now`` is Redis's time.

    ``is_missing``: what a budget has spent must be loaded. ``is_other_time``: Redis is
    in another day or month. Nothing was taken then.
    """

    is_taken: bool
    is_missing: bool
    is_other_time: bool
    now: float
    states: tuple[LimitState, ...]


def take(
    client: Any, request_id: str, counters: Sequence[Counter], *, peek: bool = False
) -> LimitAnswer:
    """Take a request's cost from every limit, or from none. Raises RedisError."""
    keeps = any(c.is_settled and c.rule.kind != LimitKind.PARALLEL for c in counters)
    reply = _TAKE.run(
        client,
        [_reservation_key(request_id), *(counter.key for counter in counters)],
        [
            json.dumps([counter.as_row(last=counter.spent) for counter in counters]),
            request_id,
            int(LEASE_S * 1000),
            _KEPT_S * 1000 if keeps else 0,
            "peek" if peek else "take",
        ],
    )
    status, now, *numbers = map(int, reply)
    rows = zip(*[iter(numbers)] * 4, strict=True)
    states = tuple(
        LimitState(counter, bool(enough), left, wait / _MICRO, reset / _MICRO)
        for counter, (enough, left, wait, reset) in zip(counters, rows, strict=True)
    )
    return LimitAnswer(status == 1, status == -1, status == -2, now / _MICRO, states)


async def settle(
    client: Any, request_id: str, used: Sequence[tuple[Counter, int]]
) -> list[int | None]:
    """Replace a request's reservations by what it has used. Raises RedisError.

    Returns what each budget has spent, None for other limits. A second call does
    nothing. ``client`` is asynchronous.
    """
    keeps = any(c.rule.kind != LimitKind.PARALLEL for c, _ in used)
    spent: list[int] = await _SETTLE.arun(
        client,
        [_reservation_key(request_id), *(counter.key for counter, _ in used)],
        [
            json.dumps([counter.as_row(last=amount) for counter, amount in used]),
            request_id,
            _KEPT_S * 1000 if keeps else 0,
        ],
    )
    return [None if amount < 0 else amount for amount in spent]


async def renew(client: Any, places: Sequence[tuple[str, str]]) -> None:
    """Keep places, each a key in Redis and a member of it. Raises RedisError."""
    keys = [key for key, _ in places]
    members = [member for _, member in places]
    await _RENEW.arun(client, keys, [int(LEASE_S * 1000), *members])


def places_of(request_id: str, counters: Sequence[Counter]) -> list[tuple[str, str]]:
    """Return the places among parallel requests that a request has taken."""
    return [
        (counter.key, f"{request_id}#{number}")
        for counter in counters
        if counter.rule.kind == LimitKind.PARALLEL
        for number in range(1, counter.cost + 1)
    ]


def _reservation_key(request_id: str) -> str:
    return f"{_PREFIX}reservation/{request_id}"
