"""What the engine asks of a model: the seam between scheduling and llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence as Tokens

    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.infill import InfillTokens
    from inference.engine.media.inputs import MediaInput
    from inference.engine.media.spans import MediaPrompt
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.sequence import Sequence
    from inference.engine.step import Sampled, StepPlan


class Tokenizer(Protocol):
    """Text to tokens and back. Safe to use from any thread."""

    n_vocab: int

    def tokenize(
        self, text: str, *, special: bool, parse_special: bool = True
    ) -> list[int]:
        """Return the tokens; ``special`` puts BOS, EOS and SEP where the model wants.

        ``parse_special`` takes special tokens that the text spells out for those.
        """

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of existing tokens; a control token's is its name."""

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""

    def spelling(self, token: int) -> bytes:
        """Return the bytes of a token; those of a control token are its name."""

    @property
    def infill(self) -> InfillTokens | None:
        """What fills in a middle; None if there are no such tokens."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""


class Drafter(Protocol):
    """A draft model: a smaller one that drafts what the larger one may generate.

    It has the same vocabulary, and a KV cache that follows the larger one's by itself.
    Used by the engine thread only.
    """

    def can_follow(self, sequence: Sequence) -> bool:
        """Whether its context is long enough for the sequence."""

    def propose(self, wanted: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """Return a draft for each sequence, of at most its number of tokens.

        A sequence whose prompt it must still prefill gets one later. Raises
        DecodeError.
        """

    def pass_s(self, num_sequences: int) -> float:
        """Return the seconds of a pass: one token of each of ``num_sequences``."""

    def warm_up(self, sequences: list[Sequence]) -> None:
        """Measure a pass of one of these sequences, and one of all."""


class Projector(Protocol):
    """Reads the images and sounds of prompts. Safe to use from any thread."""

    def read(
        self,
        prompt: str,
        media: Tokens[MediaInput],
        *,
        marker: str,
        special: bool,
        owner: str,
    ) -> MediaPrompt:
        """Return the tokens of a prompt, and what its media are to the model.

        ``marker`` stands in the text for each of them; ``special`` is as for a
        tokenizer. They are kept for the ``owner``. Raises EngineError.
        """

    def count(
        self, prompt: str, media: Tokens[MediaInput], *, marker: str, special: bool
    ) -> tuple[list[int], int]:
        """Return the tokens of a prompt's text, and how many its media take.

        None of these is encoded for it. Raises EngineError.
        """


class Backend(Protocol):
    """A loaded model with a KV cache of slots. Used by the engine thread only.

    ``layout`` is the cache as it is now; ``n_ctx_max`` and ``n_cells_max`` bound how it
    may grow. A step has at most ``n_batch`` tokens, and the logits of
    ``n_outputs_max``. ``can_cut`` says whether a sequence's newest cells can be
    dropped at all, which recurrent models cannot; ``can_draft`` whether that works for
    cells of the last step. With ``needs_even_batches`` a batch must have the same
    number of tokens of each of its sequences. While up to ``max_lookup_sequences``
    decode, their drafts are looked up in their own tokens; else ``drafter`` may make
    them. ``prefill_tile`` is how many tokens of a sequence a micro-batch needs for
    their attention to be computed in tiles, which is much faster; 1 where that makes
    no difference; ``prefill_lead`` tokens of such a piece are computed with the decodes
    beside it instead. With ``has_prefill_context`` short pieces are as fast as long
    ones; a resize may change that. ``itl_target_ms`` is the inter-token latency that
    streams keep at p95 while others prefill, 0 for none. ``adapters`` are the names of
    those that are loaded with the model.
    """

    layout: CacheLayout
    n_ctx_max: int
    n_cells_max: int
    n_batch: int
    n_outputs_max: int
    can_cut: bool
    can_draft: bool
    needs_even_batches: bool
    max_lookup_sequences: int
    prefill_tile: int
    prefill_lead: int
    itl_target_ms: int
    shares_prefixes: bool
    fixed_piece: int
    adapters: tuple[str, ...]

    @property
    def has_prefill_context(self) -> bool:
        """Whether short pieces of prompts have a context of their own."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    @property
    def projector(self) -> Projector | None:
        """What reads images and sounds, if there is one."""

    @property
    def drafter(self) -> Drafter | None:
        """The draft model, if there is one."""

    def resize(self, layout: CacheLayout) -> None:
        """Replace the cache by an empty one of another shape; the weights stay.

        Raises ModelLoadError if there is no memory for it; then the cache has its old
        shape, and is empty.
        """

    def clear(self, slot: int) -> None:
        """Empty a slot."""

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` cells of a slot.

        False, with the slot empty, if a sequence could not go on from there, as with a
        sliding window that has moved on.
        """

    def fork(self, source: int, target: int, length: int) -> bool:
        """Give an empty slot the first ``length`` cells of another.

        False, with the target empty, where ``keep`` would return False.
        """

    def move(self, source: int, target: int) -> None:
        """Move all cells of a slot to an empty one."""

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells."""

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot with saved cells; False, with it empty, if it fails."""

    def compact(self) -> bool:
        """Give back the memory of cells that are not in use any more.

        False if the content of the others could not be kept: then it is undefined.
        """

    def length(self, slot: int) -> int:
        """Return how many positions the slot has in the real cache."""

    def prepare(self, request_id: str, params: SamplingParams) -> None:
        """Do ahead what takes long in creating a sampler, and keep it. On any thread.

        Raises InvalidRequest if no sampler is possible.
        """

    def release(self, request_id: str) -> None:
        """Keep what was prepared for a request no longer. Idempotent; any thread."""

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        """Give a sequence a sampler that has seen its ``output`` so far."""

    def close_sequence(self, request_id: str) -> None:
        """Free a sequence's sampler. Idempotent."""

    def decode(self, plan: StepPlan) -> Mapping[int, Sampled]:
        """Compute a step; return what each slot gained whose logits it needed.

        Raises CellsExhausted, with what was computed before, or DecodeError; then the
        KV cells of the plan's slots are undefined.
        """

    def close(self) -> None:
        """Free everything. Idempotent."""
