"""A sequence: its tokens, how many are computed, its state and its end."""

from __future__ import annotations

import enum
import time
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


#: The tokens of an answer for which the context has room before the answer begins.
_ANSWER = 256


class SequenceStatus(enum.Enum):
    """The state of a sequence."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    FINISHED = enum.auto()


class FinishReason(enum.StrEnum):
    """Why a sequence has ended; OpenAI's names where they exist."""

    STOP = "stop"
    LENGTH = "length"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request came, by ``time.perf_counter`` or the clock of its core.

    ``num_behind`` requests of the same key came after it, and wait to be prepared.
    """

    at: float = field(default_factory=time.perf_counter)
    num_behind: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    """A request's tokens and state, independent of scheduler and model.

    ``tokens`` is prompt and output in one list, ``num_computed`` how many of them have
    their KV cell. Output tokens of an earlier worker are there from the start: they are
    prefilled and count as output. ``arrival`` orders sequences. ``saved`` are a
    preempted sequence's cells, copied out of the cache; ``stored`` is its prefix that
    is being read from disk. ``waits_for`` is a running sequence that computes the
    prefix that this one will reuse, up to ``waits_until``. ``prompt_logprobs`` has an
    entry for each of the prompt's tokens after the first, if requested. The newest
    ``num_forced`` tokens were not sampled: a grammar left no choice. ``lookup`` finds
    drafts, ``acceptance`` is the share of drafted tokens that are right. ``num_behind``
    requests of its key waited to be prepared when it came. Times are seconds of the
    engine's clock.
    """

    request: GenerationRequest
    tokens: list[int]
    detokenizer: Detokenizer
    arrival: int
    queued_at: float
    num_behind: int = 0
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
    num_predicted: int = 0
    num_predicted_right: int = 0
    started_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.request.request_id

    @property
    def params(self) -> SamplingParams:
        """The sampling parameters."""
        return self.request.params

    @property
    def num_prompt(self) -> int:
        """The number of prompt tokens."""
        return len(self.request.prompt_token_ids)

    @property
    def num_output(self) -> int:
        """The number of output tokens so far, including those of an earlier worker."""
        return len(self.tokens) - self.num_prompt

    @property
    def output(self) -> list[int]:
        """The output tokens so far."""
        return self.tokens[self.num_prompt :]

    @property
    def num_uncomputed(self) -> int:
        """The number of tokens without a KV cell: 1 for a sequence that decodes."""
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether only its newest token, and forced ones before it, are uncomputed."""
        return self.num_uncomputed <= 1 + self.num_forced

    @property
    def order(self) -> tuple[bool, int, int]:
        """Its place in the order of preemption: the last is preempted first."""
        return self.request.idle_only, self.request.priority, self.arrival

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
        """The positions that it will need: its tokens, and some for an answer.

        Clients often set ``max_tokens`` much higher than needed, so the cache need not
        have room for all of it.
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
        """End it with an error."""
        self.error = error
        self.finish(FinishReason.FAILED)
