"""What the engine asks of a model: the seam between scheduling and llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.engine.cache_layout import CacheLayout
    from inference.engine.infill import InfillTokens
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
        """Return the text of tokens that there are, control tokens by their names."""

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
    """A smaller model of the same vocabulary that guesses what the larger one says.

    Its KV cache follows the larger one's by itself. Used by the engine thread only.
    """

    def can_follow(self, sequence: Sequence) -> bool:
        """Whether its own context is long enough for the sequence."""

    def propose(self, wanted: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        """Return what may follow each sequence's tokens, up to so many tokens.

        One that it has much to read of comes later. Raises DecodeError.
        """

    def pass_s(self, num_sequences: int) -> float:
        """Return the seconds in which it computes a token of so many sequences."""

    def warm_up(self, sequences: list[Sequence]) -> None:
        """Learn what passes take with one of these sequences, and with all."""


class Backend(Protocol):
    """A loaded model with a KV cache of slots. Used by the engine thread only.

    ``layout`` is the cache as it is now; ``n_ctx_max`` and ``n_cells_max`` are how
    far it may grow. A step has at most ``n_batch`` tokens, and the logits of
    ``n_outputs_max``. ``can_cut`` says whether a sequence's end can be dropped at
    all: not in recurrent models; ``can_draft`` whether it can be right after it was
    computed. ``needs_even_batches`` says that a batch must have as many tokens of each
    of its sequences. While up to ``max_lookup_sequences`` decode, they guess their next
    tokens from what they have; else ``drafter`` may do it. ``prefill_tile`` is how many
    tokens of a sequence a micro-batch needs for their attention to be computed in
    tiles, which is much faster; 1 where that makes no difference. With
    ``has_prefill_context`` short pieces are as fast beside decodes; a resize may change
    that.
    ``adapters`` are the names of those that are loaded with it.
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
    shares_prefixes: bool
    adapters: tuple[str, ...]

    @property
    def has_prefill_context(self) -> bool:
        """Whether short pieces of prompts have a context of their own."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    @property
    def drafter(self) -> Drafter | None:
        """The draft model, if there is one."""

    def resize(self, layout: CacheLayout) -> None:
        """Make the cache anew, empty, in another shape; the weights stay.

        Raises ModelLoadError if there is no memory for it; then the cache is as
        it was, but empty.
        """

    def clear(self, slot: int) -> None:
        """Empty a slot."""

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` cells of a slot.

        False if what is left could not be continued, as with a sliding window
        that has moved on; then the slot is empty.
        """

    def fork(self, source: int, target: int, length: int) -> bool:
        """Give an empty slot the first ``length`` cells of another.

        False, with the target empty, where ``keep`` would be.
        """

    def move(self, source: int, target: int) -> None:
        """Bring all cells of a slot to an empty one."""

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells."""

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot with saved cells; False, with it empty, if it fails."""

    def length(self, slot: int) -> int:
        """Return how many positions the slot really has."""

    def prepare(self, params: SamplingParams) -> None:
        """Do ahead what takes long in making a sampler. On any thread.

        Raises InvalidRequest if there can be none.
        """

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

        Raises CellsExhausted, with nothing changed, or DecodeError; then the KV
        cells of the plan's slots are undefined.
        """

    def close(self) -> None:
        """Free everything. Idempotent."""
