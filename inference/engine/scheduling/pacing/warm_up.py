"""Runs steps before the first request, to measure step times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.request import GenerationRequest
from inference.engine.sampling.detokenizer import Detokenizer
from inference.engine.sampling.params import SamplingParams
from inference.engine.scheduling.pacing.measured import Measured
from inference.engine.sequence import Sequence
from inference.engine.step import StepItem, StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend

#: Enough for the slope of step times, and between for what heavy keys may add to a
#: light one: kernels compute rows in blocks, so steps of nine sequences may take as
#: long as those of twelve. On a slow machine each step costs startup time.
_SEQUENCES = (1, 4, 8, 12, 16)
#: How often each of these is measured; the fastest counts. They take turns, so that a
#: moment in which something else runs slows steps of all numbers: what heavy keys may
#: add is a ratio of two of them.
_ROUNDS = 3
#: Pieces of prompts: what is the same for both is the fixed cost of a pass.
_PIECES = (16, 64)


def warm_up(backend: Backend, clock: Callable[[], float]) -> Measured:
    """Measure decodes of one and of several sequences, and pieces of a prompt.

    Afterwards the weights are in memory, so that the first request need not wait for
    them; the KV cache is empty again.
    """
    token = (backend.tokenizer.tokenize("a", special=False) or [0])[0]
    most = min(backend.layout.n_seq_max, _SEQUENCES[-1])
    sequences = [_sequence(slot, token) for slot in range(most)]
    for sequence in sequences:
        backend.open(sequence.request_id, sequence.params, prompt=[token], output=[])

    def step(members: list[Sequence], size: int) -> float:
        items = (
            StepItem(
                sequence=sequence,
                tokens=[token] * size,
                start=sequence.num_computed,
                samples=True,
            )
            for sequence in members
        )
        start = clock()
        backend.decode(StepPlan(tuple(items)))
        for sequence in members:
            sequence.num_computed += size
        return clock() - start

    # The first one loads the weights.
    step(sequences[:1], 1)
    counts = dict.fromkeys(min(count, most) for count in _SEQUENCES)
    rounds = [[step(sequences[:count], 1) for count in counts] for _ in range(_ROUNDS)]
    decodes = list(zip(counts, map(min, zip(*rounds, strict=True)), strict=True))
    pieces = []
    for piece in _PIECES:
        start = sequences[0].num_computed
        size = min(piece, backend.n_batch, backend.layout.n_ctx - start)
        if size > 0:
            pieces.append((size, start, step(sequences[:1], size)))
    if backend.drafter is not None:
        backend.drafter.warm_up(sequences)
    for sequence in sequences:
        backend.close_sequence(sequence.request_id)
        backend.clear(sequence.slot or 0)
    return Measured(tuple(decodes), tuple(pieces))


def _sequence(slot: int, token: int) -> Sequence:
    params = SamplingParams(temperature=0)
    return Sequence(
        request=GenerationRequest(f"warm-up {slot}", [token], params),
        tokens=[token],
        detokenizer=Detokenizer(),
        arrival=slot,
        queued_at=0.0,
        slot=slot,
    )
