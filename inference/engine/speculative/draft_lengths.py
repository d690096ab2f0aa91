"""Chooses how many tokens to draft in a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The longest draft, in tokens: ``n_draft`` of llama.cpp's common/speculative.h.
MAX_DRAFT = 16
#: Drafts must promise at least this speed-up.
_MARGIN = 1.05


@dataclass(frozen=True, slots=True)
class DraftCandidate:
    """A draft that could be made for a sequence: up to ``limit`` tokens.

    Each token is right with probability ``rate`` if those before it are. With
    ``takes_passes`` each token takes a pass of the draft model, shared by all sequences
    that use it.
    """

    rate: float
    limit: int
    takes_passes: bool = False


def draft_lengths(
    candidates: Sequence[DraftCandidate],
    room: int,
    *,
    tokens: int,
    expected: float,
    step_seconds: Callable[[int], float],
    pass_seconds: Callable[[int], float],
    batch_s: float = 0.0,
) -> list[int]:
    """Return how many tokens of each draft pay in a step, ``room`` at most.

    The step has ``tokens`` already and yields ``expected``. Each further token costs
    what a larger batch costs (``step_seconds`` by tokens), and its share of the draft
    model's passes (``pass_seconds`` by sequences). A micro-batch of a split cache has
    as many tokens of each of its sequences, so drafts of n different lengths are n
    micro-batches, and each one after the first takes ``batch_s``. The most likely
    tokens are taken first, as many as yield the most tokens per second. All lengths are
    0 if no draft pays, as in a full batch on a machine that is limited by computation.
    """
    # Every sequence without a draft is in the first micro-batch only.
    others = {0} if round(expected) > len(candidates) else set()
    chances = sorted(
        (-(candidate.rate**depth), depth, index)
        for index, candidate in enumerate(candidates)
        for depth in range(1, candidate.limit + 1)
    )
    lengths = [0] * len(candidates)
    best = list(lengths)
    fastest = _MARGIN * expected / step_seconds(tokens)
    passes: list[int] = []
    passes_s = 0.0
    for chance, depth, index in chances[: max(room, 0)]:
        lengths[index] = depth
        tokens += 1
        expected -= chance
        if candidates[index].takes_passes:
            # A sequence takes part in a pass only after all before it.
            if depth > len(passes):
                passes.append(0)
            else:
                passes_s -= pass_seconds(passes[depth - 1])
            passes[depth - 1] += 1
            passes_s += pass_seconds(passes[depth - 1])
        more_batches_s = batch_s * (len(others.union(lengths)) - 1)
        speed = expected / (step_seconds(tokens) + passes_s + more_batches_s)
        if speed > fastest:
            best, fastest = list(lengths), speed
    return best
