"""An asynchronous REST framework view: a request that waits holds no thread.

Everything that uses the database or Redis runs in two calls to a thread, one before the
body is read (authentication, permission, throttle) and one after it (the checks of the
body, finding the model); then the handler waits in the event loop until the answer is
complete.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpResponse
from rest_framework.exceptions import MethodNotAllowed, UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from accounts.audit.actor import Actor, acting
from accounts.audit.middleware import ip_of
from accounts.keys.at_hand import is_key_at_hand
from accounts.keys.authentication import presented_key
from accounts.keys.key_access import Access
from accounts.keys.session import presented_session
from accounts.keys.unknown_keys import unknown_keys
from accounts.limits.throttling import request_ip
from accounts.session_access import SessionAccess
from inference.api import left_out
from inference.api.body.content_encoding import ENCODINGS
from inference.api.body.incoming_body import IncomingBody
from inference.api.body.json_parser import check_type
from inference.api.body.parsing_pool import MIN_BYTES, parsing_pool
from inference.api.errors import BodyTooLarge
from llm_manager.lib.quoting import quote
from llm_manager.lib.threads import in_turn, with_live_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.error_shapes.failure import Failure


class JSONNegotiation(DefaultContentNegotiation):
    """Selects JSON whatever the Accept header says.

    Clients that want a stream ask for text/event-stream.
    """

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A view whose handlers are coroutines.

    A handler is called with the request and with what ``prepare`` returned.
    """

    http_method_names = ["get", "head", "post"]
    view_is_async = True
    content_negotiation_class: type[BaseContentNegotiation] = JSONNegotiation
    #: False for views that need no key and read no row.
    needs_thread = True

    def prepare(self, request: Request) -> Any:
        """Do what needs the database, in a thread, once the caller has access.

        May raise every exception in the table of ``inference.api.failures``.
        """

    def max_body_bytes(self) -> int:
        """Return the most bytes of a body."""
        most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return most

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer to a failure, in the shape of the client's API."""
        return failure.response()

    def admit(self) -> None:
        """Check the caller's access by the headers alone.

        Runs in a thread, or on the event loop if all that it reads is in memory.
        """
        self.initial(self.request, *self.args, **self.kwargs)

    async def _enter_with_body(self, request: HttpRequest) -> Any:
        """Read the body and ``enter``; where it holds nobody up, if the body is large.

        Raises what ``IncomingBody.read``, ``ParsingPool.parse`` and ``enter`` raise.
        """
        incoming = IncomingBody.of(request)
        encoding = _content_encoding(request)
        client = client_of(self.request)
        data = await incoming.read(client, declared_length(request))
        # REST framework treats a chunked body, without a Content-Length, as empty.
        request.META["CONTENT_LENGTH"] = str(len(data))
        if (encoding or len(data) >= MIN_BYTES) and self._is_json():
            parsing = parsing_pool().parse(
                data,
                self._enter_with_value,
                client=client,
                limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
                encoding=encoding,
            )
            del data
            return await asyncio.wrap_future(parsing)
        incoming.data = data
        return await in_turn(client, self.enter)

    def _enter_with_value(self, value: Any) -> Any:
        """Enter with a body that is parsed; runs in a thread of the pool."""
        incoming = IncomingBody.of(self.request)
        incoming.value, incoming.is_parsed = value, True
        return with_live_connection(self.enter)

    def enter(self) -> Any:
        """Check what the body asks for; runs in a thread."""
        with acting(partial(actor_of, self.request)):
            return self.prepare(self.request)

    async def _prepared(self, request: HttpRequest) -> Any:
        """Return what ``prepare`` makes of the body, of which nothing is kept."""
        key = presented_key(request) or presented_session(request)
        async with unknown_keys.checking(key, request_ip(request)):
            if not (is_key_at_hand(key) and self._admitted_at_once()):
                await in_turn(key or request_ip(request), self.admit)
        try:
            return await self._enter_with_body(request)
        finally:
            IncomingBody.of(request).release()

    def _admitted_at_once(self) -> bool:
        """Check the caller's access without a thread; return False if it takes one."""
        try:
            self.admit()
        except SynchronousOnlyOperation:
            # What was in memory has just been dropped.
            return False
        return True

    def _is_json(self) -> bool:
        """Return whether the parser will take a body of this type."""
        try:
            check_type(self.request.content_type or "")
        except UnsupportedMediaType:
            return False
        return True

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request; exceptions become answers too."""
        self.args = args
        self.kwargs = kwargs
        self.headers: dict[str, str] = {}
        self.left_out = left_out.LeftOut()
        self.failure: Failure | None = None
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            _check_envelope(request, self.max_body_bytes())
            handler = self.get_handler(request.method or "")
            prepared = None
            if self.needs_thread:
                prepared = await self._prepared(request)
            response: HttpResponseBase = await handler(self.request, prepared)
        except Exception as error:
            response = self.handle_exception(error)
        # Not finalize_response: that is for responses that still have to be rendered.
        for name, value in self.headers.items():
            response[name] = value
        if names := self.left_out.header():
            response[left_out.HEADER] = names
        # Pages get these two headers from SecurityMiddleware and CommonMiddleware.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    def get_handler(self, method: str) -> Callable[..., Any]:
        """Return the method's handler. Raises MethodNotAllowed.

        This comes before the key is checked: it needs no thread and reveals nothing.
        """
        if method.lower() not in self.http_method_names:
            raise MethodNotAllowed(method)
        handler: Callable[..., Any] | None = getattr(self, method.lower(), None)
        if handler is None:
            raise MethodNotAllowed(method)
        return handler


class OpenView(ApiView):
    """A view without authentication; it reads no row."""

    authentication_classes = []
    permission_classes = [AllowAny]
    needs_thread = False


def actor_of(request: Request) -> Actor:
    """Return who a request acts for, in the audit log."""
    key = request.auth
    if not isinstance(key, Access):
        return Actor("nobody", f"API {request.path}", None, ip_of(request))
    if isinstance(key, SessionAccess):
        via = f"API {request.path}, signed in"
        return Actor(key.owner.get_username(), via, key.owner, ip_of(request))
    via = f"API {request.path}, key '{key.name}' ({key.prefix}…)"
    return Actor(key.owner.get_username(), via, key.owner, ip_of(request))


def client_of(request: Request) -> str:
    """Return who answers for a request: its key, its session, or its address."""
    if isinstance(request.auth, Access):
        return f"key:{request.auth.prefix}"
    return f"ip:{request_ip(request)}"


def _check_envelope(request: HttpRequest, limit: int) -> None:
    """Refuse requests by their headers alone.

    Raises BodyTooLarge, UnsupportedMediaType or DisallowedHost.
    """
    if declared_length(request) > limit:
        raise BodyTooLarge(limit)
    _content_encoding(request)
    request.get_host()


def declared_length(request: HttpRequest) -> int:
    """Return the Content-Length of a request; 0 if it names none."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def _content_encoding(request: HttpRequest) -> str:
    """Return how the body is packed; "" if it is not. Raises UnsupportedMediaType."""
    given: str = request.META.get("HTTP_CONTENT_ENCODING", "")
    encoding = given.strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding not in ENCODINGS:
        known = ", ".join(sorted(ENCODINGS))
        raise UnsupportedMediaType(
            given,
            f"The Content-Encoding '{quote(given)}' is not supported; these are: "
            f"{known}.",
        )
    return encoding
