"""Answers a request with what an upstream answers: the same bytes, as they come."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from django.http import HttpResponse

from inference.api.accounting.demand import prompts_of
from inference.api.error_shapes.anthropic import error_body
from inference.api.failures import failure_of
from inference.api.forwarding.running import RunningCall
from inference.api.streaming import sse
from inference.api.streaming.token_counts import TokenCounts
from inference.errors import RequestRejected, UpstreamError, UpstreamFailed
from inference.prompts.token_estimate import estimate_tokens
from inference.upstreams.calling import answer_of, reported
from inference.upstreams.json_pool import (
    MIN_BYTES,
    JsonUnreadable,
    parsed,
    parsed_here,
    whole_read,
)
from inference.upstreams.renaming import renamed
from inference.upstreams.sse import EventSplitter, EventTooLong, data_of
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from inference.api.accounting.recording import Recording
    from inference.api.error_shapes.failure import Failure
    from inference.api.forwarding.forwarded import Forwarded
    from inference.upstreams.answers import AnswerReading

#: The APIs whose answers are text.
_WRITE = frozenset({Api.CHAT, Api.COMPLETIONS, Api.MESSAGES, Api.RESPONSES})
#: The longest that a client waits for the status line of its stream once the upstream
#: sends something.
_FIRST_SIGN_S = 2.0


class Answering:
    """One request's answer by an upstream, and the measures of it."""

    def __init__(
        self, forwarded: Forwarded, recording: Recording, *, timeout_s: float
    ) -> None:
        self._forwarded = forwarded
        self._recording = recording
        self._reader = forwarded.reader()
        request = forwarded.request
        self._tail = b""
        self._name = forwarded.public_name
        self._estimated_prompt: int | None = None
        self._is_counted = False
        timeout_s = min(timeout_s, float(request.upstream.total_timeout_s))
        self._loop = asyncio.get_running_loop()
        self._call = RunningCall(
            request.upstream.name, self._loop.time() + timeout_s, timeout_s
        )
        recording.counts(lambda: (self.counts(), self._reading.finish_reason))
        recording.tracked.attach(self._call)

    @property
    def _reading(self) -> AnswerReading:
        return self._reader.reading

    def counts(self) -> TokenCounts:
        """Return the tokens so far: the upstream's count, or an estimate."""
        reading = self._reading
        if not self._call.is_started:
            return TokenCounts()
        prompt, completion = reading.prompt, reading.completion
        if prompt is None:
            prompt = self._prompt_estimate()
        if completion is None:
            # An estimate of the text takes long: while it comes, events are counted.
            is_over = reading.is_complete or self._call.is_done
            completion = reading.estimated_completion() if is_over else reading.events
        return TokenCounts(
            prompt=prompt,
            cached=min(reading.cached, prompt),
            audio=min(reading.audio, prompt),
            completion=completion,
            reasoning=min(reading.reasoning, completion),
        )

    async def whole(self) -> HttpResponse:
        """Return the answer. Raises UpstreamError, RequestRejected, RequestTimeout."""
        try:
            content = await self._call.wait(self._whole())
        finally:
            self._call.end()
        self._end()
        return HttpResponse(content, content_type="application/json")

    async def _whole(self) -> bytes:
        request = self._forwarded.request
        async with answer_of(request) as answer:
            data = await answer.whole()
            self._begin()
            try:
                said, content = await whole_read(
                    data,
                    request.api,
                    self._forwarded.n,
                    self._name,
                    client=request.upstream.name,
                )
            except JsonUnreadable:
                raise self._unreadable(
                    "an answer that cannot be read as an object of JSON"
                ) from None
            self._reading.take(said)
            if self._reading.error is not None:
                raise reported(request, self._reading.error)
            return content

    async def stream(
        self, settle: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[bytes, None]:
        """Return the answer as a stream once it has begun; its end closes it.

        Raises what ``whole`` raises as long as nothing was written.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._call.end)
            answer = await self._call.wait(
                stack.enter_async_context(answer_of(self._forwarded.request))
            )
            if not answer.kind.startswith("text/event-stream"):
                raise await self._call.wait(answer.no_stream())
            events = self._events(answer.pieces)
            first = await self._first(events)
            return self._stream(first, events, stack.pop_all(), settle)

    async def _first(self, events: AsyncIterator[bytes]) -> bytes:
        """Return the events up to the first text."""
        found = []
        began: float | None = None
        async for piece in events:
            found.append(piece)
            now = self._loop.time()
            began = began or now
            if self._call.is_started or now - began > _FIRST_SIGN_S:
                break
        return b"".join(found)

    async def _stream(
        self,
        first: bytes,
        events: AsyncIterator[bytes],
        held: AsyncExitStack,
        settle: Callable[[], Awaitable[None]],
    ) -> AsyncGenerator[bytes, None]:
        try:
            async with held:
                if first:
                    yield first
                async for piece in events:
                    yield piece
            self._end()
            self._recording.finish(200)
            await settle()
            if self._tail:
                yield self._tail
        except Exception as error:
            failure = failure_of(error)
            self._stop()
            self._recording.finish(failure.status, failure)
            await settle()
            yield _failed(self._forwarded.request.api, failure)
        finally:
            # The connection of a client that leaves is closed by ``held``.
            self._stop()
            self._recording.leave()
            await settle()

    async def _events(self, raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the events but the last one, those of one read together.

        Raises UpstreamFailed where the upstream fails or stops before the end.
        """
        splitter = EventSplitter()
        while True:
            try:
                piece = await self._call.wait(anext(raw))
            except StopAsyncIteration:
                break
            passed: list[bytes] = []
            failure: Exception | None = None
            try:
                for event in splitter.put(piece):
                    passed.append(await self._read(event))
            except EventTooLong:
                failure = self._unreadable("an event that does not end")
            except (UpstreamError, RequestRejected) as error:
                failure = error
            if text := b"".join(passed):
                yield text
            if failure is not None:
                raise failure
            if self._tail:
                return
        # The last event may lack its empty line.
        rest = splitter.rest.strip()
        if rest and (text := await self._read(rest + b"\n\n")):
            yield text
        if not self._tail and not self._reading.is_complete:
            raise UpstreamFailed(
                f"The upstream '{self._forwarded.request.upstream}' ended its answer "
                "in the middle."
            )

    async def _read(self, event: bytes) -> bytes:
        """Return what the client gets of an event now.

        Raises UpstreamError and RequestRejected for an error that it reports.
        """
        data = data_of(event)
        if not data or self._tail:
            return event
        if data == self._reader.end_mark:
            self._tail = event
            return b""
        try:
            value = (
                parsed_here(data)
                if len(data) < MIN_BYTES
                else await parsed(data, client=self._forwarded.request.upstream.name)
            )
        except JsonUnreadable:
            raise self._unreadable("an event that cannot be read as JSON") from None
        if not isinstance(value, dict):
            raise self._unreadable("an event that is no JSON object")
        if self._reader.event(value):
            self._begin()
            self._recording.writes()
        if self._reading.error is not None:
            raise reported(self._forwarded.request, self._reading.error)
        is_ours = self._reader.is_usage_only(value)
        if is_ours and not self._forwarded.shows_usage:
            return b""
        event = renamed(event, value, self._name, is_event=True)
        if self._reading.has_end_mark:
            self._tail = event
            return b""
        return event

    def _begin(self) -> None:
        if not self._call.is_started:
            self._call.is_started = True
            self._recording.begins()

    def _end(self) -> None:
        """Note that the answer is whole."""
        self._begin()
        self._stop()
        reading = self._reading
        if reading.prompt is None or (
            reading.completion is None and self._forwarded.request.api in _WRITE
        ):
            self._recording.is_estimated()

    def _stop(self) -> None:
        if self._is_counted:
            return
        self._is_counted = self._call.is_done = True
        counts = self.counts()
        if self._call.is_started and self._reading.completion is None:
            self._recording.is_estimated()
        self._recording.counted(prompt=counts.prompt, completion=counts.completion)

    def _unreadable(self, what: str) -> UpstreamFailed:
        return UpstreamFailed(
            f"The upstream '{self._forwarded.request.upstream}' sends {what}."
        )

    def _prompt_estimate(self) -> int:
        if self._estimated_prompt is None:
            self._estimated_prompt = sum(
                estimate_tokens(text) if isinstance(text, str) else len(text)
                for text in prompts_of(self._forwarded.requests)
            )
        return self._estimated_prompt


def _failed(api: str, failure: Failure) -> bytes:
    """Return the last events of a stream that fails, in the API's own shape."""
    match api:
        case Api.MESSAGES:
            return sse.named(error_body(failure.status, failure.message))
        case Api.RESPONSES:
            code = failure.code or "server_error"
            return sse.named(
                {"type": "error", "code": code, "message": failure.message}
            )
    return sse.event(failure.body()) + sse.DONE
