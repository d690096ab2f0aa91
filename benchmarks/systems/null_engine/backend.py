"""A backend without arithmetic: it counts cells, and every token is the letter a."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.step import Sampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.infill import InfillTokens
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.step import StepPlan

_A = Sampled((ord("a"),), 0)


class CharacterTokenizer:
    """Each character is a token, its code point. No token ends an answer."""

    n_vocab = 0x110000
    infill: InfillTokens | None = None

    def tokenize(
        self, text: str, *, special: bool, parse_special: bool = True
    ) -> list[int]:
        """Return the code points."""
        return list(map(ord, text))

    def detokenize(self, tokens: list[int]) -> str:
        """Return the characters."""
        return "".join(map(chr, tokens))

    def piece(self, token: int) -> bytes:
        """Return the character in UTF-8."""
        return chr(token).encode()

    spelling = piece

    def is_end(self, token: int) -> bool:
        """Return False: answers are as long as they were asked for."""
        return False


class NullBackend:
    """A model whose steps take as long as ``take`` makes them.

    ``take`` gets the plan of a step; what it does is the step's time. Cells are counted
    for each slot, and prefixes can be kept, copied and moved as with llama.cpp.
    """

    can_cut = True
    can_draft = False
    needs_even_batches = False
    max_lookup_sequences = 0
    prefill_tile = 1
    prefill_lead = 0
    itl_target_ms = 60
    shares_prefixes = False
    fixed_piece = 0
    adapters: tuple[str, ...] = ()
    has_prefill_context = False
    projector = None
    drafter = None

    def __init__(
        self,
        *,
        n_ctx: int,
        n_seq_max: int,
        n_batch: int,
        take: Callable[[StepPlan], None],
    ) -> None:
        self.layout = CacheLayout(n_ctx, n_seq_max, n_ctx * n_seq_max)
        self.n_ctx_max = n_ctx
        self.n_cells_max = self.layout.n_cells
        self.n_batch = n_batch
        self.n_outputs_max = n_batch
        self.tokenizer = CharacterTokenizer()
        self._take = take
        self._lengths: dict[int, int] = {}

    def resize(self, layout: CacheLayout) -> None:
        """Take the other shape, empty."""
        self.layout = layout
        self._lengths = {}

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self._lengths.pop(slot, None)

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first cells."""
        self._lengths[slot] = length
        return True

    def fork(self, source: int, target: int, length: int) -> bool:
        """Give another slot the first cells."""
        self._lengths[target] = length
        return True

    def move(self, source: int, target: int) -> None:
        """Move all cells."""
        self._lengths[target] = self._lengths.pop(source, 0)

    def save(self, slot: int) -> bytes:
        """Return how many cells there are: they hold nothing else."""
        return str(self.length(slot)).encode()

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill a slot with as many cells."""
        self._lengths[slot] = int(state)
        return True

    def compact(self) -> bool:
        """Give back nothing: cells take no memory."""
        return True

    def length(self, slot: int) -> int:
        """Return the cells of a slot."""
        return self._lengths.get(slot, 0)

    def prepare(self, request_id: str, params: SamplingParams) -> None:
        """Have nothing to prepare."""

    def release(self, request_id: str) -> None:
        """Have nothing to release."""

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        """Have no sampler."""

    def close_sequence(self, request_id: str) -> None:
        """Have no sampler."""

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        """Take the step's time; return an ``a`` for whoever wants a token."""
        self._take(plan)
        sampled = {}
        for item in plan.items:
            slot = item.sequence.slot
            assert slot is not None
            self._lengths[slot] = item.start + len(item.tokens)
            if item.samples:
                sampled[slot] = _A
        return sampled

    def close(self) -> None:
        """Have nothing to free."""


def sleeping(seconds: float) -> Callable[[StepPlan], None]:
    """Return what makes each step take this long without a processor."""
    return lambda _plan: time.sleep(seconds)
