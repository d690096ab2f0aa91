"""What a benchmark makes of the streams that it has seen. Pure."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class MeasuredStream:
    """One answer: when it was asked for, began and ended, in seconds of one clock."""

    asked_at: float
    first_at: float
    last_at: float
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class StreamsResult:
    """How fast so many streams are at once.

    ``tokens_per_second`` counts all their tokens from the first request to the last
    token; ``tokens_per_second_each`` is the median of a stream's own speed after its
    first token. Times are in seconds.
    """

    streams: int
    tokens: int
    tokens_per_second: float
    tokens_per_second_each: float
    first_token_median: float
    first_token_worst: float


@dataclass(frozen=True, slots=True)
class PromptResult:
    """The time to the first token after a long prompt, the median of several."""

    prompt_tokens: int
    first_token_median: float
    prompt_tokens_per_second: float


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What ``llm-manager bench`` prints, and a model's page shows."""

    model: str
    streams: list[StreamsResult]
    long_prompt: PromptResult

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def streams_result(streams: Sequence[MeasuredStream]) -> StreamsResult:
    """Return how fast streams that were asked for at once have been."""
    tokens = sum(stream.tokens for stream in streams)
    seconds = max(s.last_at for s in streams) - min(s.asked_at for s in streams)
    waits = [stream.first_at - stream.asked_at for stream in streams]
    return StreamsResult(
        streams=len(streams),
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        tokens_per_second_each=statistics.median(
            (s.tokens - 1) / (s.last_at - s.first_at) for s in streams
        ),
        first_token_median=statistics.median(waits),
        first_token_worst=max(waits),
    )


def prompt_result(streams: Sequence[MeasuredStream]) -> PromptResult:
    """Return the time to the first token of streams that were asked for in turn."""
    wait = statistics.median(s.first_at - s.asked_at for s in streams)
    length = streams[0].prompt_tokens
    return PromptResult(length, wait, length / wait)
