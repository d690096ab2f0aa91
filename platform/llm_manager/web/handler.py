"""Django's ASGI handler, with a short way for the API: no thread of its own."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import set_script_prefix

from llm_manager.web.routes import api_match

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Handler(ASGIHandler):
    """Answers every request of the project.

    Django gives each request a thread of its own for synchronous views, holds it
    until the answer's last byte is out, and goes there to say that the request
    begins and ends, which is for the database connections of that thread. The API's
    views use none: what they ask the database they ask in a pool that looks after
    its connections itself (``llm_manager.lib.threads``).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and api_match(scope["path"]):
            await self._answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        with closing(body):
            request, refusal = self.create_request(scope, body)
            if request is not None:
                await self._respond(request, receive, send)
            elif refusal is not None:
                with closing(refusal):
                    await self.send_response(refusal, send)

    async def _respond(
        self, request: HttpRequest, receive: Receive, send: Send
    ) -> None:
        """Answer until the client is gone. Closing a response says that it ends."""
        answering = asyncio.current_task()

        async def stop_when_gone() -> None:
            # After the body nothing else can come.
            await receive()
            if answering is not None:
                answering.cancel()

        leaving = asyncio.create_task(stop_when_gone())
        try:
            try:
                response = await self.run_get_response(request)
            except asyncio.CancelledError:
                signals.request_finished.send(sender=type(self))
                raise
            with closing(response):
                await self.send_response(response, send)
        except asyncio.CancelledError:
            if not leaving.done():
                # Not the client went away: the server stops.
                raise
        finally:
            leaving.cancel()
