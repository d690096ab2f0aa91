"""REST framework's view, made asynchronous: a request that waits holds no thread.

What talks to the database and to Redis (authentication, permission, throttle,
reading the body, finding the model) runs in one hop to a thread; then the
handler waits on the event loop for as long as an answer takes.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.api.errors import BodyTooLarge
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class ApiRequest(Request):
    """A request whose body is read up to the limit, whatever its headers say.

    REST framework takes a body that comes in chunks, without a Content-Length,
    for an empty one.
    """

    def _load_stream(self) -> None:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = self._request.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge(limit)
        self._stream = io.BytesIO(body) if body else None  # type: ignore[assignment]


class JSONNegotiation(DefaultContentNegotiation):
    """Answers in the one format that there is, whatever Accept asks for.

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
    #: False for views that let everybody in and read no row.
    needs_thread = True

    def prepare(self, request: Request) -> Any:
        """Do what needs the database, in a thread, once the caller is let in.

        May raise whatever the table of errors knows.
        """

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request; every exception becomes an answer too."""
        self.args = args
        self.kwargs = kwargs
        self.headers: dict[str, str] = {}
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            handler = self.get_handler(request.method or "")
            if self.needs_thread:
                prepared = await in_thread(self._enter)
            else:
                prepared = None
            response: HttpResponseBase = await handler(self.request, prepared)
        except Exception as error:
            response = self.handle_exception(error)
        # Not finalize_response: that is for answers that still have to be rendered.
        for name, value in self.headers.items():
            response[name] = value
        return response

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        """Return REST framework's request around Django's."""
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def get_handler(self, method: str) -> Callable[..., Any]:
        """Return the method's handler. Raises MethodNotAllowed.

        Asked before who is calling: it tells nothing and costs nothing.
        """
        if method.lower() not in self.http_method_names:
            raise MethodNotAllowed(method)
        handler: Callable[..., Any] | None = getattr(self, method.lower(), None)
        if handler is None:
            raise MethodNotAllowed(method)
        return handler

    def _enter(self) -> Any:
        self.initial(self.request, *self.args, **self.kwargs)
        return self.prepare(self.request)


class OpenView(ApiView):
    """A view that anybody may call: it reads no row and costs nothing."""

    authentication_classes = []
    permission_classes = [AllowAny]
    needs_thread = False
