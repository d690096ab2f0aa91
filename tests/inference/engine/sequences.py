"""Sequences for tests of the engine's parts."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from inference.engine import GenerationRequest, SamplingParams
from inference.engine.sampling.detokenizer import Detokenizer
from inference.engine.sequence import Sequence, SequenceStatus

if TYPE_CHECKING:
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fairness.fair_queue import FairQueue

_arrivals = count()


def sequence(
    tokens: list[int],
    *,
    key: str = "",
    owner: str = "",
    weight: float = 1.0,
    priority: int = 0,
    idle_only: bool = False,
    params: SamplingParams | None = None,
) -> Sequence:
    """Return a new sequence, later than all before."""
    arrival = next(_arrivals)
    request = GenerationRequest(
        f"{key}{arrival}",
        tokens,
        params or SamplingParams(),
        owner=owner,
        key=key,
        weight=weight,
        priority=priority,
        idle_only=idle_only,
    )
    return Sequence(
        request=request,
        tokens=list(tokens),
        detokenizer=Detokenizer(),
        arrival=arrival,
        queued_at=0.0,
    )


def start(sequence: Sequence, slots: Slots, queue: FairQueue[Sequence]) -> Sequence:
    """Give a sequence a slot, as if it had waited; nothing is computed yet."""
    queue.enter(sequence)
    queue.take(sequence)
    slots.take(sequence, slots.find(sequence))
    sequence.status = SequenceStatus.RUNNING
    return sequence


def compute(sequence: Sequence, slots: Slots, count: int | None = None) -> None:
    """Count tokens as computed; all by default."""
    slots.grow(sequence, sequence.num_uncomputed if count is None else count)
