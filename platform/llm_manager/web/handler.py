"""Django's ASGI handler, with a way for the API that needs no thread."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import set_script_prefix

from llm_manager.web.api_chain import api_chain, find_route, is_api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.urls import ResolverMatch

    from llm_manager.web.asgi_types import Receive, Scope, Send


class Handler(ASGIHandler):
    """Finds a request's route once; the API goes its own way, pages go Django's.

    Django gives each request a thread of its own for synchronous code, keeps it
    until the last byte of the answer is out, and goes there to send its signals,
    whose receivers look after that thread's database connections. The API has no
    use for it: its views ask the database in a pool of threads that looks after its
    connections itself (``llm_manager.lib.threads``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._get_api_response = api_chain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # As Starlette's router does, what was found goes with the scope.
        match = scope["resolver_match"] = find_route(scope["path"])
        if is_api(match):
            await self._answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def create_request(
        self, scope: Mapping[str, Any], body_file: Any
    ) -> tuple[Any, Any]:
        """Return the request, which knows its route, or an answer that refuses it."""
        request, refusal = super().create_request(scope, body_file)
        if request is not None:
            request.resolver_match = scope["resolver_match"]
        return request, refusal

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the route of a page. Raises Resolver404."""
        return request.resolver_match or super().resolve_request(request)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the API, as ``ASGIHandler.handle`` does for pages."""
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
            else:
                with closing(refusal):
                    await self.send_response(refusal, send)

    async def _respond(
        self, request: HttpRequest, receive: Receive, send: Send
    ) -> None:
        """Call the view and send its answer; stop when the client leaves.

        ``close`` of a response sends the signal ``request_finished``.
        """
        answering = asyncio.current_task()

        async def cancel_when_gone() -> None:
            # After a request's body the only message is that the client has left.
            await receive()
            if answering is not None:
                answering.cancel()

        leaving = asyncio.create_task(cancel_when_gone())
        try:
            try:
                response = await self._get_api_response(request)
            except asyncio.CancelledError:
                signals.request_finished.send(sender=type(self))
                raise
            with closing(response):
                await self.send_response(response, send)
        except asyncio.CancelledError:
            if not leaving.done():
                # The client is still there: the server stops.
                raise
        finally:
            leaving.cancel()
