"""Django's ASGI handler, with a way for the API that needs no thread."""

from __future__ import annotations

import asyncio
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.urls import set_script_prefix

from accounts.limits.client_ip import client_ip
from inference.api.body.incoming_body import IncomingBody
from inference.api.failures import failure_of
from llm_manager.lib.tracing.choice import is_on
from llm_manager.web.api_chain import api_chain, find_route, is_api
from llm_manager.web.middleware.failures import scope_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.urls import ResolverMatch

    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send

_FORWARDED = b"x-forwarded-for"


def _address(scope: Scope) -> str:
    forwarded = [value for name, value in scope["headers"] if name == _FORWARDED]
    meta = {
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "HTTP_X_FORWARDED_FOR": b",".join(forwarded).decode("latin-1"),
    }
    return client_ip(meta, trusted_proxies=settings.CONFIG.server.trusted_proxies)


def _traced(application: Application) -> Application:
    # Nobody who does not trace imports OpenTelemetry.
    from llm_manager.web.request_span import traced

    return traced(application)


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
        self._answer_api = _traced(self._answer) if is_on() else self._answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # As Starlette's router does, what was found goes with the scope.
        match = scope["resolver_match"] = find_route(scope["path"])
        if is_api(match):
            await self._answer_api(scope, receive, send)
        else:
            await self._answer_page(scope, receive, send)

    def create_request(
        self, scope: Mapping[str, Any], body_file: Any
    ) -> tuple[Any, Any]:
        """Return the request, which knows its route, or an answer that refuses it."""
        request, refusal = super().create_request(scope, body_file)
        if request is None:
            failure = failure_of(SuspiciousOperation())
            return None, scope_refusal(failure, scope)
        request.resolver_match = scope["resolver_match"]
        return request, refusal

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the route of a page. Raises Resolver404."""
        return request.resolver_match or super().resolve_request(request)

    async def _answer_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give Django a page's request once its body is complete.

        Django would put any part of it into a file before it looks at the request.
        """
        incoming = IncomingBody(receive)
        try:
            body = await incoming.read(f"ip:{_address(scope)}")
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive_page() -> Message:
                return messages.pop() if messages else await receive()

            await super().__call__(scope, receive_page, send)
        except asyncio.CancelledError:
            if not incoming.is_abandoned:
                raise
        finally:
            incoming.release()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the API, as ``ASGIHandler.handle`` does for pages."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        incoming = IncomingBody(receive)
        try:
            request, refusal = self.create_request(scope, BytesIO())
            if request is not None:
                request.incoming_body = incoming
                await self._respond(request, incoming, receive, send)
            else:
                with closing(refusal):
                    await self.send_response(refusal, send)
        finally:
            incoming.release()

    async def _respond(
        self, request: HttpRequest, incoming: IncomingBody, receive: Receive, send: Send
    ) -> None:
        """Call the view and send its answer; stop when the client leaves.

        ``close`` of a response sends the signal ``request_finished``.
        """
        answering = asyncio.current_task()

        async def cancel_when_gone() -> None:
            # After a request's body the only message is that the client has left.
            await incoming.was_read.wait()
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
            if not leaving.done() and not incoming.is_abandoned:
                # The client is still there: the server stops.
                raise
        finally:
            leaving.cancel()
