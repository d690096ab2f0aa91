"""The base of the views that generate text: chats and text completions."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from accounts.usage.recorder import usage_recorder
from inference.api import event_stream
from inference.api.forwarding.view import RoutedView
from inference.api.idempotency import LoggingClient, logging_client
from inference.api.media.reading import read_media
from inference.api.preparing.completion import PreparedCompletion
from inference.api.responses import EventStreamResponse, json_response
from inference.api.streaming import collecting as streaming
from inference.api.streaming.generation import Generation
from inference.api.streaming.usage import counts_of_events
from inference.api.view import client_of
from inference.errors import RequestRejected, RequestTimeout
from inference.transport.answer_log import KEPT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from inference.api.forwarding.forwarded import Forwarded
    from inference.engine.request import ModelRequest


class GenerationView(RoutedView):
    """What chats and text completions have in common."""

    #: How long the events of an answer are kept to go on with it.
    kept_s = KEPT_S
    #: Whether the events of a stream are a function of the engine's events alone.
    one_by_one = False
    #: Whether it goes on from what an earlier request had of the engine.
    resumes = False
    _logged: Any = None

    def model_requests(
        self, prepared: PreparedCompletion | Forwarded
    ) -> Sequence[ModelRequest]:
        """Return the sequences."""
        return prepared.requests

    async def _enter_with_body(self, request: HttpRequest) -> Any:
        """Read the body, ``enter``, and read its media: the limits have let it in.

        Its body counts among those in flight until then. Raises RequestTimeout too.
        """
        return await self._with_media(await super()._enter_with_body(request))

    async def _with_media(self, prepared: Any) -> Any:
        """Return it with its media. Raises BadRequest, RequestTimeout."""
        if not isinstance(prepared, PreparedCompletion) or not prepared.media:
            return prepared
        timeout_s = self.request_timeout_s()
        try:
            async with asyncio.timeout(timeout_s):
                client = client_of(self.request)
                return prepared.with_media(await read_media(prepared.media, client))
        except TimeoutError:
            raise RequestTimeout(
                f"The images and sounds were not read within {timeout_s:g} s."
            ) from None

    async def keep(self, prepared: PreparedCompletion) -> None:
        """Keep an answer that is complete, before the client has its end."""

    async def save_events(self) -> None:
        """Write the engine's events so far to where others can go on with them."""
        if isinstance(self._logged, LoggingClient):
            await self._logged.save()

    async def run(self, prepared: PreparedCompletion | Forwarded) -> HttpResponseBase:
        """Run the requests and return the answer, whole or as a stream."""
        return await self.answer_by(prepared, self._run)

    async def _run(self, prepared: PreparedCompletion) -> HttpResponseBase:
        timeout_s = self.request_timeout_s()
        deadline = asyncio.get_running_loop().time() + timeout_s
        body = prepared.body
        limits = prepared.limits(timeout_s, deadline)
        generation = Generation()
        is_streaming = False
        try:
            # The limit applies to the whole answer, including requests not yet queued.
            async with asyncio.timeout_at(deadline):
                client, known = await logging_client(
                    self.tracking_client(),
                    self.request,
                    body,
                    sequences=len(prepared.requests),
                    before_save=usage_recorder.note_progress,
                    kept_s=self.kept_s,
                )
                self._logged, self.resumes = client, any(known)
                self.recording.replays(counts_of_events(known, n=limits.n))
                self.recording.accept(is_stream=body.stream)
                self.charge.run()
                await generation.start(client, prepared.requests, self.queue)
                if not body.stream:
                    answer = await streaming.collect(
                        generation, prepared.format, limits, self.recording
                    )
                    await self.keep(prepared)
                    return json_response(answer)
                is_started = await generation.started(event_stream.FIRST_SIGN_S)
            is_streaming = True
        except TimeoutError:
            raise streaming.timed_out(limits) from None
        except RequestRejected as error:
            raise streaming.in_words_of(prepared.format, error) from None
        finally:
            if not is_streaming:
                await generation.aclose()
        # From here on the stream closes the generation.
        events = event_stream.stream(
            generation,
            prepared.format,
            limits,
            self.recording,
            is_started=is_started,
            settle=self.settle,
            keep=partial(self.keep, prepared),
            one_by_one=self.one_by_one,
        )
        if self.recording.capture.is_on:
            events = self.recording.capture.following(events)
        return EventStreamResponse(events, prepared.format.content_type)
