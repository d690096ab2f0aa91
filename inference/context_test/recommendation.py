"""The context that is recommended for a number of sequences. Pure.

It is the largest one for which all of these hold, each of which has a name:

* ``tested``: a context of this size passed;
* ``answers``: answers at its end are sane, as far as the model can tell;
* ``memory``: so many sequences of it fit into the memory for models;
* ``kv_memory_mb``: their cache fits into what one worker may take for it;
* ``request_timeout``: a prompt that fills it is computed before its request ends, as
  far as speeds were measured on a machine that did nothing else.

The memory of one sequence is the measured one; each further sequence adds what the
estimate says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inference.context_test.bisection import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Bytes by device, the host first.
    Memory = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What sequences of a context take, by the estimate: bytes in all, and of cache."""

    memory: Memory
    cache: int


@dataclass(frozen=True, slots=True)
class ContextFacts:
    """What a recommendation depends on.

    ``measured`` are contexts that passed with their memory, ``sane_ctx`` the largest
    with sane answers (None: nothing is known), ``cost`` the estimate for a context and
    a number of sequences, ``limits`` the bytes that models may take by device,
    ``kv_budget`` those of one worker's cache, ``fill_seconds`` what a full prompt
    takes, ``request_timeout`` what it may take.
    """

    measured: Sequence[tuple[int, Memory]]
    sane_ctx: int | None
    cost: Callable[[int, int], Cost]
    limits: Memory
    kv_budget: int
    fill_seconds: Callable[[int], float | None]
    request_timeout: float


@dataclass(frozen=True, slots=True)
class RecommendedContext:
    """A context in tokens, and the ``bound`` that keeps it from being larger."""

    n_ctx: int
    bound: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"n_ctx": self.n_ctx, "bound": self.bound}


def recommended_context(
    facts: ContextFacts, n_sequences: int
) -> RecommendedContext | None:
    """Return the context for so many sequences; None if not even STEP tokens fit."""
    if not facts.measured:
        return None
    tested = max(n_ctx for n_ctx, _ in facts.measured)

    def first_bound(n_ctx: int) -> str:
        """Return the bound that forbids a context, "" if none does."""
        if n_ctx > tested:
            return "tested"
        if facts.sane_ctx is not None and n_ctx > facts.sane_ctx:
            return "answers"
        cost = facts.cost(n_ctx, n_sequences)
        alone = facts.cost(n_ctx, 1)
        memory = [
            measured + more - one
            for measured, more, one in zip(
                _measured_memory(facts.measured, n_ctx),
                cost.memory,
                alone.memory,
                strict=True,
            )
        ]
        if any(m > limit for m, limit in zip(memory, facts.limits, strict=True)):
            return "memory"
        if cost.cache > facts.kv_budget:
            return "kv_memory_mb"
        seconds = facts.fill_seconds(n_ctx)
        if seconds is not None and seconds > facts.request_timeout:
            return "request_timeout"
        return ""

    if not first_bound(tested):
        return RecommendedContext(tested, "tested")
    low, high = 0, tested
    while high - low > STEP:
        middle = (low + high) // 2 // STEP * STEP
        if middle <= low:
            break
        if first_bound(middle):
            high = middle
        else:
            low = middle
    return RecommendedContext(low, first_bound(high)) if low else None


def _measured_memory(measured: Sequence[tuple[int, Memory]], n_ctx: int) -> Memory:
    """Return the memory of a context between measured ones: a cache grows linearly."""
    points = sorted(measured)
    for (below, small), (above, large) in pairwise(points):
        if below <= n_ctx <= above:
            share = (n_ctx - below) / (above - below)
            return tuple(
                int(one + (other - one) * share)
                for one, other in zip(small, large, strict=True)
            )
    # Below the smallest nothing is known to be less.
    return points[0][1] if n_ctx < points[0][0] else points[-1][1]
