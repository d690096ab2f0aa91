"""One sequence: its tokens, how far they are computed, how it ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.detokenizer import Detokenizer
    from inference.engine.sampling_params import SamplingParams


class SequenceStatus(enum.Enum):
    """Where a sequence is in its life."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    FINISHED = enum.auto()


class FinishReason(enum.StrEnum):
    """Why a sequence has ended, in OpenAI's words where it has one."""

    STOP = "stop"
    LENGTH = "length"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Sequence:
    """A request's tokens and state; it knows no scheduler and no model.

    ``tokens`` is prompt and output in one list, ``num_computed`` how many of
    them have their KV cell. Output tokens that an earlier worker has delivered
    are there from the start: they are prefilled and count as output.
    """

    request_id: str
    tokens: list[int]
    num_prompt: int
    params: SamplingParams
    detokenizer: Detokenizer
    num_computed: int = 0
    slot: int | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    finish_reason: FinishReason | None = None

    @property
    def num_output(self) -> int:
        """Output tokens so far, with those of an earlier worker."""
        return len(self.tokens) - self.num_prompt

    @property
    def output(self) -> list[int]:
        """The output tokens so far."""
        return self.tokens[self.num_prompt :]

    @property
    def num_uncomputed(self) -> int:
        """Tokens that still need their KV cell: 1 for a sequence that decodes."""
        return len(self.tokens) - self.num_computed

    @property
    def is_finished(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status is SequenceStatus.FINISHED
