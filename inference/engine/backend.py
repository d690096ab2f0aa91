"""What the engine asks of a model: the seam between scheduling and llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.engine.plan import StepPlan
    from inference.engine.sampling_params import SamplingParams


class Tokenizer(Protocol):
    """Text to tokens and back. Safe to use from any thread."""

    n_vocab: int

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens; ``special`` puts BOS where the model wants one."""

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""


class Backend(Protocol):
    """A loaded model with a KV cache of slots. Used by the engine thread only."""

    n_ctx: int
    n_seq_max: int
    n_batch: int

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    def open_slot(self, slot: int, params: SamplingParams, output: list[int]) -> None:
        """Empty the slot's KV cells and give it a sampler.

        The sampler has seen ``output``, the tokens of an earlier worker.
        """

    def close_slot(self, slot: int) -> None:
        """Empty the slot's KV cells and free its sampler. Idempotent."""

    def decode(self, plan: StepPlan) -> Mapping[int, int]:
        """Compute a step; return the sampled token of each slot that samples.

        Raises DecodeError; the KV cells of the plan's slots are then undefined.
        """

    def close(self) -> None:
        """Free everything. Idempotent."""
