"""An asynchronous REST framework view: a request that waits holds no thread.

Everything that uses the database or Redis (authentication, permission, throttle,
reading the body, finding the model) runs in one call to a thread; then the handler
waits in the event loop until the answer is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from inference.api import left_out
from inference.api.errors import BodyTooLarge
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request


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

        May raise every exception in the table of ``inference.api.errors``.
        """

    def enter(self, request: HttpRequest) -> Any:
        """Check the caller's access, read the body, and prepare; runs in a thread."""
        self.initial(self.request, *self.args, **self.kwargs)
        _read_body(request)
        return self.prepare(self.request)

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request; exceptions become answers too."""
        self.args = args
        self.kwargs = kwargs
        self.headers: dict[str, str] = {}
        self.left_out = left_out.LeftOut()
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            _check_envelope(request)
            handler = self.get_handler(request.method or "")
            prepared = None
            if self.needs_thread:
                prepared = await in_thread(self.enter, request)
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


def _check_envelope(request: HttpRequest) -> None:
    """Refuse requests by their headers alone. Raises BodyTooLarge or DisallowedHost."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(limit)
    request.get_host()


def _read_body(request: HttpRequest) -> None:
    """Read a body up to the limit and set its length. Raises BodyTooLarge.

    REST framework treats a chunked body, without a Content-Length, as empty.
    """
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        length = len(request.body)
    except RequestDataTooBig:
        raise BodyTooLarge(limit) from None
    request.META["CONTENT_LENGTH"] = str(length)
