"""One step as plain data: the plan of its batch, and what was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from inference.engine.errors import DecodeError
from inference.engine.media.spans import runs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence as Tokens

    from inference.engine.config.adapters import Adapters
    from inference.engine.errors import EngineError
    from inference.engine.media.spans import MediaSpan
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepItem:
    """The tokens of one sequence in a step.

    They go to the positions from ``start`` on. ``samples``: the last of them yields a
    token, which is true for a decode and for the end of a prefill. The newest
    ``num_draft`` tokens are a draft: each that the sampler confirms yields one more.
    ``num_forced`` tokens of a decode were not sampled: a grammar left no choice.
    ``wants_prompt_logprobs``: the logprob of each prompt token after the first is
    needed.
    """

    sequence: Sequence
    tokens: Tokens[int]
    start: int
    samples: bool
    num_draft: int = 0
    num_forced: int = 0
    wants_prompt_logprobs: bool = False

    @property
    def is_decode(self) -> bool:
        """Whether the sequence decodes: no prompt is left to compute."""
        return self.samples and len(self.tokens) == 1 + self.num_forced + self.num_draft

    @property
    def has_media(self) -> bool:
        """Whether some of its tokens stand for pieces of images."""
        spans = self.sequence.request.media_spans
        end = self.start + len(self.tokens)
        return any(each.start < end and self.start < each.end for each in spans)

    def pieces(self) -> list[tuple[StepItem, MediaSpan | None]]:
        """Return its text and its images as items of their own, with their spans."""
        end = self.start + len(self.tokens)
        return [
            (
                StepItem(
                    self.sequence,
                    self.tokens[first - self.start : last - self.start],
                    first,
                    samples=self.samples and last == end,
                ),
                span,
            )
            for first, last, span in runs(
                self.sequence.request.media_spans, self.start, end
            )
        ]

    @property
    def num_outputs(self) -> int:
        """How many of the item's tokens need logits."""
        if self.wants_prompt_logprobs:
            return len(self.tokens)
        return 1 + self.num_draft if self.samples else 0


@dataclass(frozen=True)
class StepPlan:
    """The batch of one step, ordered by slot. All items have the same adapters.

    Ascending, contiguous slots keep llama.cpp's micro-batches whole: out of order it
    falls back to one sequence per micro-batch (``split_equal`` in llama-batch.cpp).
    """

    items: tuple[StepItem, ...]

    @property
    def adapters(self) -> Adapters:
        """The adapters of all its sequences."""
        return self.items[0].sequence.request.adapters

    @cached_property
    def decodes(self) -> list[StepItem]:
        """The items of sequences that decode."""
        return [item for item in self.items if item.is_decode]

    @property
    def num_decodes(self) -> int:
        """The number of sequences that decode."""
        return len(self.decodes)

    @cached_property
    def num_tokens(self) -> int:
        """The number of tokens in the batch."""
        return sum(len(item.tokens) for item in self.items)

    @cached_property
    def num_decode_tokens(self) -> int:
        """The number of tokens of sequences that decode, including drafts."""
        return sum(len(item.tokens) for item in self.decodes)

    @cached_property
    def decode_depth(self) -> int:
        """The lengths of the sequences that decode, added up."""
        return sum(item.start for item in self.decodes)

    @cached_property
    def prefills(self) -> list[tuple[int, int]]:
        """The prefill chunks: of each its tokens, and the tokens before it."""
        if self.num_decodes == len(self.items):
            return []
        return [
            (len(item.tokens), item.start) for item in self.items if not item.is_decode
        ]

    def even(self) -> list[StepPlan]:
        """Return one plan for each number of tokens per sequence."""
        by_length: dict[int, list[StepItem]] = {}
        for item in self.items:
            by_length.setdefault(len(item.tokens), []).append(item)
        return [StepPlan(tuple(items)) for _, items in sorted(by_length.items())]


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a step sampled for a sequence.

    ``tokens`` in order: the ``num_accepted`` first tokens of the draft, the one after
    them, and the tokens that a grammar forces. ``logprobs`` has one entry for each, if
    requested, ``prompt_logprobs`` one for each of the prompt's tokens in the step.
    ``is_complete``: a grammar allows nothing after the tokens. ``error``, if the
    sampler failed, ends the sequence.
    """

    tokens: tuple[int, ...] = ()
    num_accepted: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()
    is_complete: bool = False
    error: EngineError | None = None


class CellsExhausted(DecodeError):
    """llama.cpp finds no KV cells for a part of a step.

    ``done`` were computed before it, whole items and beginnings of items, and
    ``sampled`` from them; of the rest nothing was computed.
    """

    code = "kv_cells_exhausted"

    def __init__(
        self,
        message: str,
        *,
        done: tuple[StepItem, ...] = (),
        sampled: Mapping[int, Sampled] | None = None,
    ) -> None:
        super().__init__(message)
        self.done = done
        self.sampled = sampled or {}
