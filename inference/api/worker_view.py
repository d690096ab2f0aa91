"""The base class of views whose requests run on a model's workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings

from accounts.limits.demand import Tokens
from accounts.limits.throttling import InferenceThrottle
from accounts.models import Scope
from inference.api.accounting.charge import Charge
from inference.api.accounting.recording import Recording
from inference.api.body.incoming_body import IncomingBody
from inference.api.media.reading import read_media
from inference.api.model_access import access_of, model_find
from inference.api.preparing.abilities import require
from inference.api.preparing.plan import loadable
from inference.api.streaming.generation import Client, Generation
from inference.api.streaming.token_counts import TokenCounts
from inference.api.view import ApiView, client_of
from inference.engine.output import PoolingOutput
from inference.errors import RequestTimeout
from inference.transport.client import get_client
from inference.transport.queue import ModelQueue
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.media.marks import MarkedPart
    from inference.api.preparing.abilities import Ability
    from inference.engine.media.inputs import MediaInput
    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.running.tracking import StreamClient
    from registry.models import Model


class WorkerView(ApiView):
    """A view with limits per key, which sends requests to workers and records them."""

    required_scope = Scope.INFERENCE
    throttle_classes = [InferenceThrottle]

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request and record it; a stream records its own end."""
        self.recording = Recording(request)
        self.model: Model | None = None
        self.charge = Charge()
        try:
            response = await super().dispatch(request, *args, **kwargs)
        except asyncio.CancelledError:
            self.recording.leave()
            self.recording.capture.end()
            self.charge.settle_later(self.used())
            raise
        if not response.streaming:
            self.recording.finish(response.status_code, self.failure)
            self.recording.capture.answered(cast("HttpResponse", response).content)
            await self.settle()
        return response

    def perform_authentication(self, request: Request) -> None:
        """Find the key. Raises what the authentication raises."""
        super().perform_authentication(request)
        self.recording.caller_is(access_of(request))

    async def _enter_with_body(self, request: HttpRequest) -> Any:
        """Read the body and ``enter``; keep it if the key's capture is on."""
        try:
            return await super()._enter_with_body(request)
        finally:
            capture = self.recording.capture
            if capture.is_on:
                # It is released after this.
                incoming = IncomingBody.of(request)
                await capture.take_request(incoming.data or incoming.value)

    async def settle(self) -> None:
        """Settle what the request has used; the first call counts."""
        await self.charge.settle(self.used())

    def used(self) -> Tokens:
        """Return the tokens of the request so far, by the engine's count."""
        used = self.recording.used()
        return Tokens(used.prompt, used.cached, used.completion)

    def admit(self) -> None:
        """Check the caller's access by the headers alone, as any view does."""
        super().admit()
        self.charge.may_count = True

    def enter(self) -> Any:
        """Check what the body asks for, and take it from the limits of its key.

        Raises what the checks raise, LimitReached, TooManySequences, TooManyTokens.
        """
        prepared = super().enter()
        self.recording.leaves_out(self.left_out.header())
        self._count(self.model_requests(prepared))
        return prepared

    def model_requests(self, prepared: Any) -> Sequence[ModelRequest]:
        """Return what the model computes for a request; limits count it."""
        return ()

    async def _prepared(self, request: HttpRequest) -> Any:
        """Return what ``prepare`` makes of the body; a body that is refused counts."""
        try:
            return await super()._prepared(request)
        except Exception:
            if self.charge.may_count:
                await in_thread(self._count, ())
            raise

    def _count(self, requests: Sequence[ModelRequest]) -> None:
        """Count a request. Raises LimitReached, TooManySequences, TooManyTokens."""
        headers = self.charge.take(self.request, self.model, requests)
        self.headers.update(headers)

    def handle_exception(self, exc: Exception) -> Any:
        """Return the answer to an exception, with what a limit has left."""
        self.headers.update(getattr(exc, "headers", {}))
        return super().handle_exception(exc)

    def request_timeout_s(self) -> float:
        """Return the seconds that an answer may take."""
        seconds: float = settings.CONFIG.server.request_timeout
        return seconds

    def get_client(self) -> Client:
        """Return the client of the workers; tests replace it."""
        return get_client()

    def tracking_client(self) -> Client:
        """Return the client of the workers, for streams that can be cancelled."""
        client = cast("StreamClient", self.get_client())
        return self.recording.tracked.through(client)

    def find_model(
        self, request: Request, name: str, ability: Ability | None = None
    ) -> Model:
        """Return the model that a request names, if it has the ability.

        Its ``queue`` is where the request will wait.

        Raises what model_find raises, and BadRequest.
        """
        self.recording.asks_for(name)
        model = loadable(self.named(request, name))
        self.recording.serves(model)
        self.model = model
        self.queue = self.queue_of(model)
        if ability is not None:
            require(model, ability)
        return model

    def named(self, request: Request, name: str) -> Model:
        """Return the model of a name, a route too. Raises what model_find raises."""
        return model_find(name, access_of(request))

    def queue_of(self, model: Model) -> ModelQueue:
        """Return the queue where requests for a model wait."""
        return ModelQueue(model.pk, model.name, settings.CONFIG.engine.queue_timeout)

    async def read_media(self, parts: Sequence[MarkedPart]) -> tuple[MediaInput, ...]:
        """Return a request's images and sounds. Raises BadRequest, RequestTimeout.

        For ``_enter_with_body``, so that its body counts among those in flight.
        """
        timeout_s = self.request_timeout_s()
        try:
            async with asyncio.timeout(timeout_s):
                return await read_media(parts, client_of(self.request))
        except TimeoutError:
            raise RequestTimeout(
                f"The images and sounds were not read within {timeout_s:g} s."
            ) from None

    async def run_whole(self, requests: Sequence[ModelRequest]) -> list[list[Event]]:
        """Return the events of each request. Raises InferenceError."""
        timeout_s = self.request_timeout_s()
        events: list[list[Event]] = [[] for _ in requests]
        generation = Generation()
        self.recording.counts(lambda: (_counted(events), ""))
        self.recording.accept()
        try:
            async with asyncio.timeout(timeout_s):
                self.charge.run()
                await generation.start(self.tracking_client(), requests, self.queue)
                while not generation.is_done:
                    arrived = await generation.events()
                    self.recording.observe(arrived, n=1)
                    for index, event in arrived:
                        events[index].append(event)
        except TimeoutError:
            raise RequestTimeout(
                f"The answer was not finished within {timeout_s:g} s."
            ) from None
        finally:
            await generation.aclose()
        return events


def _counted(events: Sequence[Sequence[Event]]) -> TokenCounts:
    """Return the tokens of the pooling requests that have begun."""
    return TokenCounts(
        prompt=sum(
            of_request[-1].num_prompt
            for of_request in events
            if of_request and isinstance(of_request[-1], PoolingOutput)
        )
    )
