"""The base of the views that generate text: chats and text completions."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from accounts.usage.recorder import usage_recorder
from inference.api import event_stream
from inference.api.forwarding.view import RoutedView
from inference.api.idempotency import LoggingClient, logging_client
from inference.api.preparing.completion import PreparedCompletion
from inference.api.responses import EventStreamResponse, json_response
from inference.api.streaming import collecting as streaming
from inference.api.streaming.generation import Generation
from inference.api.streaming.token_counts import TokenCounts
from inference.api.streaming.usage import counts_of_events
from inference.errors import RequestRejected
from inference.transport.answer_log import KEPT_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from inference.api.body.request_body import Body
    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.streaming.collecting import AnswerLimits
    from inference.api.streaming.generation import Client
    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event


class GenerationView(RoutedView):
    """What chats and text completions have in common."""

    #: How long the events of an answer are kept to go on with it.
    kept_s = KEPT_S
    #: Whether the events of a stream are a function of the engine's events alone.
    one_by_one = False
    #: Whether it goes on from what an earlier request had of the engine.
    resumes = False
    #: The client of the last sequences, and what earlier requests had of each.
    _client: Client
    _replayed: list[TokenCounts]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._replayed = []

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
        return prepared.with_media(await self.read_media(prepared.media))

    async def keep(self, prepared: PreparedCompletion) -> None:
        """Keep an answer that is complete, before the client has its end."""

    async def save_events(self) -> None:
        """Write the engine's events so far to where others can go on with them."""
        if isinstance(client := getattr(self, "_client", None), LoggingClient):
            await client.save()

    def generation(self, prepared: PreparedCompletion) -> Generation:
        """Return what runs the sequences."""
        return Generation()

    async def collected(
        self,
        generation: Generation,
        prepared: PreparedCompletion,
        limits: AnswerLimits,
    ) -> Any:
        """Return the whole answer when it is complete. Raises InferenceError."""
        return await streaming.collect(
            generation, prepared.format, limits, self.recording
        )

    async def client_for(
        self, body: Body, *, sequences: int, n: int = 1, part: int = 0
    ) -> tuple[Client, Sequence[Sequence[Event]]]:
        """Return the client for sequences, and the events that are known of each.

        ``part`` counts those of one request that follow one another. Raises what
        ``logging_client`` raises.
        """
        self._client, known = await logging_client(
            self.tracking_client(),
            self.request,
            body,
            sequences=sequences,
            before_save=usage_recorder.note_progress,
            kept_s=self.kept_s,
            part=part,
        )
        self._replayed.append(counts_of_events(known, n=n))
        self.recording.replays(sum(self._replayed, TokenCounts()))
        return self._client, known

    def replayed(self, part: int) -> TokenCounts:
        """Return the tokens of a part that an earlier request counts."""
        return self._replayed[part]

    async def run(self, prepared: PreparedCompletion | Forwarded) -> HttpResponseBase:
        """Run the requests and return the answer, whole or as a stream."""
        return await self.answer_by(prepared, self._run)

    async def _run(self, prepared: PreparedCompletion) -> HttpResponseBase:
        timeout_s = self.request_timeout_s()
        deadline = asyncio.get_running_loop().time() + timeout_s
        body = prepared.body
        limits = prepared.limits(timeout_s, deadline)
        generation = self.generation(prepared)
        is_streaming = False
        try:
            # The limit applies to the whole answer, including requests not yet queued.
            async with asyncio.timeout_at(deadline):
                client, known = await self.client_for(
                    body, sequences=len(prepared.requests), n=limits.n
                )
                self.resumes = any(known)
                self.recording.accept(is_stream=body.stream)
                self.charge.run()
                await generation.start(client, prepared.requests, self.queue)
                if not body.stream:
                    answer = await self.collected(generation, prepared, limits)
                    await self.keep(prepared)
                    if prepared.format.with_logprobs:
                        return await asyncio.to_thread(json_response, answer)
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
