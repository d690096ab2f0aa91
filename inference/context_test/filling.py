"""Fills one sequence's context to the last token and measures on the way.

Works on any Backend, so that it knows neither llama.cpp nor processes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.context_test.fill_time import SpeedAtDepth
from inference.context_test.planted_fact import knows_fact, planted_text
from inference.engine.request import GenerationRequest
from inference.engine.sampling.detokenizer import Detokenizer
from inference.engine.sampling.params import SamplingParams
from inference.engine.sequence import Sequence
from inference.engine.step import StepItem, StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend

#: Shares of the context at which speeds are measured; the last is its end.
DEPTHS = (0.1, 0.5, 1.0)
#: Tokens that are decoded one by one at each of these depths. The last ones are the
#: answer, and take the last cells of the context.
DECODED = 16
#: Tokens of the short text, the control: a model that cannot find the fact there is
#: too small to say anything about a long one.
CONTROL = 192
#: The smallest context that has room for all this.
LEAST_CTX = 256
_SLOT = 0


@dataclass(frozen=True, slots=True)
class FilledContext:
    """Speeds by depth, and whether the model knew the fact.

    That is at the end of the context, and after the short text.
    """

    speeds: tuple[SpeedAtDepth, ...]
    knows_fact: bool
    knows_control: bool


def fill_context(
    backend: Backend,
    n_ctx: int,
    *,
    on_tokens: Callable[[int], None] = lambda _tokens: None,
    clock: Callable[[], float] = time.perf_counter,
) -> FilledContext:
    """Fill ``n_ctx`` tokens of a loaded model. ``on_tokens`` gets how many are done.

    Raises EngineError if a step fails.
    """
    control = _Filling(backend, CONTROL, lambda _tokens: None, clock)
    control.prefill_to(len(control.tokens))
    knows_control = knows_fact(control.answer())
    control.close()
    backend.clear(_SLOT)
    filling = _Filling(backend, n_ctx, on_tokens, clock)
    speeds = []
    for share in DEPTHS[:-1]:
        depth = int(n_ctx * share)
        prefill = filling.prefill_to(depth)
        # The text's own tokens, one by one, take as long as an answer's.
        decode = filling.decode_to(depth + DECODED)
        speeds.append(SpeedAtDepth(depth, prefill, decode))
    prefill = filling.prefill_to(len(filling.tokens))
    started = clock()
    answer = filling.answer()
    decode = DECODED / max(clock() - started, 1e-9)
    speeds.append(SpeedAtDepth(n_ctx, prefill, decode))
    filling.close()
    backend.clear(_SLOT)
    return FilledContext(tuple(speeds), knows_fact(answer), knows_control)


class _Filling:
    """One sequence: a text with the fact, its question, and room for the answer."""

    def __init__(
        self,
        backend: Backend,
        n_ctx: int,
        on_tokens: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._on_tokens = on_tokens
        self._clock = clock
        self._piece = backend.fixed_piece or backend.n_batch
        begin = _begin(backend)
        planted = planted_text(
            n_ctx - DECODED - len(begin),
            lambda text: backend.tokenizer.tokenize(text, special=False),
        )
        self.tokens = [*begin, *planted.text, *planted.question]
        self._sampled = 0
        params = SamplingParams(temperature=0.0)
        request = GenerationRequest("context-test", self.tokens, params)
        self._sequence = Sequence(
            request, list(self.tokens), Detokenizer(), arrival=0, queued_at=0.0
        )
        self._sequence.slot = _SLOT
        backend.open(request.request_id, params, prompt=self.tokens, output=[])

    @property
    def _depth(self) -> int:
        return self._sequence.num_computed

    def prefill_to(self, depth: int) -> float:
        """Compute the text up to a depth; return the tokens a second of its end."""
        pieces = []
        while self._depth < depth:
            end = min(self._depth + self._piece, depth)
            pieces.append(self._compute(self.tokens[self._depth : end]))
        tokens, seconds = 0, 0.0
        while pieces and tokens < self._piece:
            size, took = pieces.pop()
            tokens, seconds = tokens + size, seconds + took
        return tokens / max(seconds, 1e-9)

    def decode_to(self, depth: int) -> float:
        """Compute the text up to a depth token by token; return tokens a second."""
        steps = [self._compute([token]) for token in self.tokens[self._depth : depth]]
        return len(steps) / max(sum(took for _, took in steps), 1e-9)

    def answer(self) -> str:
        """Return what the model writes into the last cells."""
        written = []
        for _ in range(DECODED):
            written.append(self._sampled)
            self._compute([self._sampled])
        return self._backend.tokenizer.detokenize(written)

    def _compute(self, tokens: list[int]) -> tuple[int, float]:
        """Compute tokens; return how many, and the seconds that they took.

        A token is sampled each time: a GPU has finished only then.
        """
        started = self._clock()
        item = StepItem(self._sequence, tokens, self._depth, samples=True)
        sampled = self._backend.decode(StepPlan((item,)))[_SLOT]
        took = self._clock() - started
        if sampled.error is not None:
            raise sampled.error
        self._sampled = sampled.tokens[0]
        self._sequence.num_computed += len(tokens)
        self._on_tokens(self._depth)
        return len(tokens), took

    def close(self) -> None:
        """Free its sampler."""
        self._backend.close_sequence(self._sequence.request_id)


def _begin(backend: Backend) -> list[int]:
    """Return the model's BOS, if texts begin with one."""
    plain = backend.tokenizer.tokenize("a", special=False)
    whole = backend.tokenizer.tokenize("a", special=True)
    return whole[: whole.index(plain[0])] if plain and plain[0] in whole else []
