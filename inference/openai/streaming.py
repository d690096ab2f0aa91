"""From the events of sequences to an answer: all at once, or as it comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.errors import RequestRejected, RequestTimeout
from inference.metrics import CLIENT_GONE, RequestMeter
from inference.openai import payloads, sse
from inference.openai.errors import failure_of
from inference.openai.payloads import Answer, FinishReason
from inference.protocol import Accepted, Finished, TokensGenerated, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from inference.openai.formats import AnyFormat
    from inference.openai.generation import Generation, Numbered

#: A client waits no longer than this for the status line of its stream.
FIRST_SIGN_S = 2.0
#: In longer silence a stream sends a comment.
KEEP_ALIVE_S = 10.0

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request has agreed to: n answers a prompt, until a deadline.

    ``deadline`` is the event loop's time, ``timeout_s`` what it was set to.
    """

    n: int
    timeout_s: float
    deadline: float


async def collect(
    generation: Generation, format_: AnyFormat, terms: Terms, meter: RequestMeter
) -> object:
    """Return the whole answer, however long it takes. Raises InferenceError."""
    texts: dict[int, list[str]] = {}
    reasons: dict[int, FinishReason] = {}
    usages: dict[int, Usage] = {}
    while not generation.is_done:
        events = await generation.events()
        meter.observe(events, n=terms.n)
        for index, event in events:
            if isinstance(event, TokensGenerated):
                texts.setdefault(index, []).append(event.text)
            elif isinstance(event, Finished):
                texts.setdefault(index, []).append(event.text)
                reasons[index] = _REASONS[event.reason]
                usages[index] = event.usage
    answers = [Answer("".join(texts[i]), reasons[i]) for i in range(len(usages))]
    return format_.whole(answers, payloads.usage(usages, n=terms.n))


async def stream(
    generation: Generation,
    format_: AnyFormat,
    terms: Terms,
    meter: RequestMeter,
    *,
    is_accepted: bool,
) -> AsyncIterator[bytes]:
    """Yield the answer as server-sent events.

    The status line is out, so an error is an event. Whatever ends the stream,
    also that nobody reads it any more, its sequences are given up.
    """
    status = CLIENT_GONE
    usages: dict[int, Usage] = {}
    try:
        if not is_accepted:
            yield sse.KEEP_ALIVE
        while not generation.is_done:
            events = await generation.events(min(KEEP_ALIVE_S, _time_left(terms)))
            meter.observe(events, n=terms.n)
            chunk = _encode(events, format_, usages)
            if chunk:
                yield chunk
            elif not events:
                yield sse.KEEP_ALIVE
        status = 200
        yield format_.end(payloads.usage(usages, n=terms.n))
    except Exception as error:
        failure = failure_of(in_words_of(format_, error))
        status = failure.status
        yield sse.event(failure.body()) + sse.DONE
    finally:
        meter.finish(status)
        await generation.aclose()


def _encode(
    events: Iterable[Numbered], format_: AnyFormat, usages: dict[int, Usage]
) -> bytes:
    """Return all events as one piece; an answer's texts become one event."""
    parts: list[bytes] = []
    texts: dict[int, str] = {}
    for index, event in events:
        if isinstance(event, TokensGenerated):
            if event.text:
                texts[index] = texts.get(index, "") + event.text
        elif isinstance(event, Accepted):
            parts.append(format_.start(index))
        elif isinstance(event, Finished):
            text = texts.pop(index, "") + event.text
            if text:
                parts.append(format_.text(index, text))
            parts.append(format_.finish(index, _REASONS[event.reason]))
            usages[index] = event.usage
    parts += [format_.text(index, text) for index, text in texts.items()]
    return b"".join(parts)


def in_words_of(format_: AnyFormat, error: Exception) -> Exception:
    """Return the error with the prompt under the name that the request gives it."""
    if isinstance(error, RequestRejected) and error.param == "prompt":
        error.param = format_.prompt_param
    return error


def timed_out(terms: Terms) -> RequestTimeout:
    """Return the error of a request whose deadline is past."""
    return RequestTimeout(f"The answer was not finished within {terms.timeout_s:g} s.")


def _time_left(terms: Terms) -> float:
    """Return the seconds until the deadline. Raises RequestTimeout."""
    left = terms.deadline - asyncio.get_running_loop().time()
    if left <= 0:
        raise timed_out(terms)
    return left
