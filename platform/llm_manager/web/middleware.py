"""What every request gets: an id, headers, a line in the log, a short way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase

from inference.api.errors import BodyTooLarge, failure_of
from inference.metrics.collector import CLIENT_GONE
from llm_manager.lib.request_id import request_id_begin
from llm_manager.web.routes import api_match

if TYPE_CHECKING:
    from django.urls import ResolverMatch

access_log = logging.getLogger("llm_manager.access")

#: The version of OpenAI's API that these answers are like.
_OPENAI_VERSION = "2020-10-01"

Sync = Callable[[HttpRequest], HttpResponseBase]
Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class RequestMiddleware:
    """The outermost middleware.

    A request for the API goes from here to its view, past CORS only: sessions,
    CSRF tokens and messages are the admin's, and each would cost two hops to a
    thread. Under WSGI everything takes the long way.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Sync | Async) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            self._get_api_response = cast("Async", CorsMiddleware(_call_view))

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        started = _start(request)
        response = _refusal(request) if api_match(request.path_info) else None
        response = response or cast("Sync", self._get_response)(request)
        return _finish(request, response, started)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        started = _start(request)
        match = api_match(request.path_info)
        response = _refusal(request) if match else None
        try:
            if response is None and match is not None:
                request.resolver_match = match
                response = await self._get_api_response(request)
            elif response is None:
                response = await cast("Async", self._get_response)(request)
        except asyncio.CancelledError:
            _log(request, CLIENT_GONE, started)
            raise
        return _finish(request, response, started)


async def _call_view(request: HttpRequest) -> HttpResponseBase:
    match = cast("ResolverMatch", request.resolver_match)
    response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
    # What Django's own middleware does for the other routes.
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
    return response


def _refusal(request: HttpRequest) -> HttpResponseBase | None:
    """Return the answer to a request that no view need look at, or None."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        return failure_of(BodyTooLarge(limit)).response()
    try:
        request.get_host()
    except DisallowedHost as error:
        return failure_of(error).response()
    return None


def _start(request: HttpRequest) -> float:
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    request.request_id = request_id_begin(given)  # type: ignore[attr-defined]
    return time.perf_counter()


def _finish(
    request: HttpRequest, response: HttpResponseBase, started: float
) -> HttpResponseBase:
    elapsed_ms = (time.perf_counter() - started) * 1000
    response["x-request-id"] = request.request_id  # type: ignore[attr-defined]
    response["openai-processing-ms"] = str(round(elapsed_ms))
    response["openai-version"] = _OPENAI_VERSION
    # Or Django writes a second line, and for it takes a thread.
    response._has_been_logged = True  # type: ignore[attr-defined]
    if response.streaming:
        # What is worth a line is known when the last event is out. Closers run
        # when the response is closed, also if the client went away.
        closers: list[Callable[[], None]] = response._resource_closers  # type: ignore[attr-defined]
        closers.append(lambda: _log(request, response.status_code, started))
    else:
        _log(request, response.status_code, started)
    return response


def _log(request: HttpRequest, status: int, started: float) -> None:
    """Write one line: no query, no body, no secret."""
    access_log.info(
        "%s %s %d %.0f ms id=%s",
        request.method,
        # Quoted, or a path could write lines of its own.
        quote(request.path),
        status,
        (time.perf_counter() - started) * 1000,
        request.request_id,  # type: ignore[attr-defined]
    )
