"""One step as data: what goes into the batch and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from inference.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepItem:
    """The tokens of one sequence in a step.

    They go to the positions from ``start`` on. ``samples`` says whether the last
    of them yields a token: true for a decode and for the end of a prefill.
    """

    sequence: Sequence
    tokens: Tokens[int]
    start: int
    samples: bool


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The batch of one step, ordered by slot.

    Ascending, contiguous slots keep llama.cpp's micro-batches whole: out of
    order it falls back to one sequence per micro-batch.
    """

    items: tuple[StepItem, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens in the batch."""
        return sum(len(item.tokens) for item in self.items)

    @property
    def num_decodes(self) -> int:
        """Sequences that only continue."""
        return sum(len(item.tokens) == 1 and item.samples for item in self.items)
