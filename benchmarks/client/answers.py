"""One request of a load and its answer, checked."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: The one clock of the harness, in seconds.
clock = time.perf_counter


class WrongAnswer(Exception):
    """An answer that a benchmark must not count."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; ``media`` are parts after the text."""

    role: str
    content: str
    media: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    ``group`` names those whose figures belong together; ``key`` is the number of
    the API key that sends it. ``sampling`` are members of the request, greedy where
    nothing is said. An ``exact`` call has end tokens banned, and its
    answer must have all its ``max_tokens``.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    group: str = ""
    key: int = 0
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0})
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. Times are the clock's.

    ``arrivals_s`` are the events that carried text; one may carry several tokens.
    A system that reports no usage has None for the prompt's tokens, and None for
    the cached ones if it does not report them. ``logprobs`` is the number of tokens
    with probabilities.
    """

    call: Call
    started_s: float
    arrivals_s: tuple[float, ...]
    text: str
    completion_tokens: int
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    logprobs: int = 0

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.arrivals_s[0] - self.started_s

    @property
    def latency_s(self) -> float:
        """Time to the last token."""
        return self.ended_s - self.started_s

    @property
    def ended_s(self) -> float:
        """When the last token came."""
        return self.arrivals_s[-1]

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """The inter-token latencies: pairs of when one ended and how long it was."""
        return [
            (later, later - earlier) for earlier, later in pairwise(self.arrivals_s)
        ]


class Target(Protocol):
    """Whatever answers calls."""

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        """Return the answer; ``on_text`` is called with each of its events.

        Raises WrongAnswer. Cancelling it takes the request back.
        """


def parse_stream(
    call: Call,
    started_s: float,
    events: Iterable[tuple[float, bytes]],
    *,
    has_usage: bool = True,
) -> Answer:
    """Return the answer that the data of server-sent events make, with their times.

    Raises WrongAnswer unless they are a whole chat completion: ``[DONE]`` last, one
    finish reason, the usage where the system reports it, and, of an exact call,
    all its tokens.
    """
    *chunks, (_, last) = list(events) or [(0.0, b"nothing")]
    if last != b"[DONE]":
        raise WrongAnswer(f"the stream ends with {last!r}, not with [DONE]")
    arrivals: list[float] = []
    texts: list[str] = []
    reasons: list[str] = []
    ended_s = 0.0
    usage: dict[str, Any] = {}
    logprobs = 0
    for arrival, data in chunks:
        chunk = json.loads(data)
        if "error" in chunk:
            raise WrongAnswer(f"an error in the stream: {data!r}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text = choice["delta"].get("content")
            if text:
                arrivals.append(arrival)
                texts.append(text)
            logprobs += len((choice.get("logprobs") or {}).get("content") or ())
            if choice.get("finish_reason"):
                reasons.append(choice["finish_reason"])
                ended_s = arrival
    if has_usage and not usage:
        raise WrongAnswer("the stream has no usage")
    details = usage.get("prompt_tokens_details") or {}
    # A single token may be a part of a character, and have no text of its own.
    if call.exact and call.max_tokens == 1 and reasons and not arrivals:
        arrivals.append(ended_s)
    return checked(
        Answer(
            call=call,
            started_s=started_s,
            arrivals_s=tuple(arrivals),
            text="".join(texts),
            # Of an exact call there can be no other number.
            completion_tokens=usage.get("completion_tokens", call.max_tokens),
            prompt_tokens=usage.get("prompt_tokens"),
            cached_tokens=details.get("cached_tokens"),
            logprobs=logprobs,
        ),
        reasons,
    )


def checked(answer: Answer, reasons: list[str]) -> Answer:
    """Return the answer if it may count, by its finish reasons. Raises WrongAnswer."""
    call = answer.call
    if len(reasons) != 1 or reasons[0] not in ("stop", "length"):
        raise WrongAnswer(f"the finish reasons are {reasons}")
    if not len(answer.arrivals_s) <= answer.completion_tokens <= call.max_tokens:
        raise WrongAnswer(
            f"{answer.completion_tokens} tokens in {len(answer.arrivals_s)} events, "
            f"where {call.max_tokens} tokens were asked for"
        )
    if not call.exact:
        return answer
    if reasons != ["length"] or answer.completion_tokens != call.max_tokens:
        raise WrongAnswer(
            f"finish_reason {reasons[0]} after {answer.completion_tokens} of "
            f"{call.max_tokens} tokens"
        )
    if not answer.arrivals_s:
        raise WrongAnswer("no event carries text")
    return answer
