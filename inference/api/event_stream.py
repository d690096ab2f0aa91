"""Sends the answer of sequences as a stream of events to an HTTP client."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from inference.api.failures import failure_of
from inference.api.streaming.collecting import in_words_of, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from inference.api.accounting.recording import Recording
    from inference.api.streaming.collecting import AnswerLimits
    from inference.api.streaming.formats import AnswerFormat
    from inference.api.streaming.generation import Generation

#: The longest that a client waits for the status line of its stream.
FIRST_SIGN_S = 2.0


async def stream(
    generation: Generation,
    format_: AnswerFormat,
    limits: AnswerLimits,
    recording: Recording,
    *,
    is_started: bool,
    settle: Callable[[], Awaitable[None]],
    keep: Callable[[], Awaitable[None]],
    one_by_one: bool = False,
) -> AsyncGenerator[bytes, None]:
    """Yield the answer as server-sent events.

    The status line is sent before, so an error is an event. ``keep`` and
    ``settle`` are awaited before the client gets the end: it finds the answer where it
    is kept, and its next request finds its place free. ``one_by_one``: the events are a
    function of the engine's events, in whatever batches these come. The sequences are
    given up when the stream ends for any reason, or when the client stops reading.
    """

    async def complete() -> None:
        await keep()
        recording.finish(200)
        await settle()

    try:
        if not is_started:
            yield format_.first_sign
        answer = pieces(
            generation, format_, limits, recording, complete, one_by_one=one_by_one
        )
        async with aclosing(answer):
            async for piece in answer:
                yield piece or format_.keep_alive
    except Exception as error:
        failure = failure_of(in_words_of(format_, error))
        recording.finish(failure.status, failure)
        await settle()
        yield format_.failed(failure.status, failure.body())
    finally:
        recording.leave()
        await generation.aclose()
        await settle()
