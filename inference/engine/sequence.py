"""One sequence: its tokens, how far they are computed, how it ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.speculative.acceptance import Acceptance

if TYPE_CHECKING:
    from inference.engine.errors import EngineError
    from inference.engine.prefix_cache.disk_cache import StoredPrefix
    from inference.engine.request import GenerationRequest
    from inference.engine.sampling.detokenizer import Detokenizer
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.speculative.prompt_lookup import PromptLookup


#: Tokens of an answer for which the context has room before the answer begins.
_ANSWER = 256


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

    ``tokens`` is prompt and output in one list, ``num_computed`` how many of them have
    their KV cell. Output tokens that an earlier worker has delivered are there from the
    start: they are prefilled and count as output. ``arrival`` orders sequences.
    ``saved`` are the cells of a preempted one, outside of the cache, ``stored`` is its
    prefix that comes from disk. ``waits_for`` is a running sequence that computes, up
    to ``waits_until``, the prefix that this one will take over. ``prompt_logprobs`` has
    an entry for each of the prompt's tokens after the first, if asked for. The newest
    ``num_forced`` tokens were not sampled: a grammar left no choice. ``lookup`` finds
    drafts, ``acceptance`` is how good they are. Times are seconds of the engine's
    clock.
    """

    request: GenerationRequest
    tokens: list[int]
    detokenizer: Detokenizer
    arrival: int
    queued_at: float
    num_computed: int = 0
    num_cached: int = 0
    slot: int | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    finish_reason: FinishReason | None = None
    error: EngineError | None = None
    saved: bytes | None = None
    stored: StoredPrefix | None = None
    waits_for: Sequence | None = None
    waits_until: int = 0
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()
    num_forced: int = 0
    lookup: PromptLookup | None = None
    acceptance: Acceptance = field(default_factory=Acceptance)
    num_drafted: int = 0
    num_accepted: int = 0
    started_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None

    @property
    def request_id(self) -> str:
        """The request's id."""
        return self.request.request_id

    @property
    def params(self) -> SamplingParams:
        """How its tokens are chosen."""
        return self.request.params

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.prompt_token_ids)

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
    def is_decoding(self) -> bool:
        """Whether only its newest token is uncomputed, and those forced before it."""
        return self.num_uncomputed <= 1 + self.num_forced

    @property
    def order(self) -> tuple[int, int]:
        """Its place among those that were here first: the last is preempted first."""
        return self.request.priority, self.arrival

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.status is SequenceStatus.FINISHED

    @property
    def is_running(self) -> bool:
        """Whether it has a slot."""
        return self.status is SequenceStatus.RUNNING

    @property
    def decode_s(self) -> float:
        """Seconds from its first token to its newest."""
        if self.first_token_at is None or self.last_token_at is None:
            return 0.0
        return self.last_token_at - self.first_token_at

    @property
    def context_needed(self) -> int:
        """Positions that it will need: its tokens, and some for an answer.

        ``max_tokens`` is often set high, to be safe; the cache need not have room for
        all of that.
        """
        limit = self.params.max_tokens
        answer = _ANSWER if limit is None else min(limit, _ANSWER)
        return max(self.num_prompt + answer, len(self.tokens) + 1)

    def finish(self, reason: FinishReason) -> None:
        """End it; the first reason counts, except that a stop string wins."""
        if not self.is_finished or reason is FinishReason.STOP:
            self.finish_reason = reason
        self.status = SequenceStatus.FINISHED

    def fail(self, error: EngineError) -> None:
        """End it because of an error."""
        self.error = error
        self.finish(FinishReason.FAILED)
