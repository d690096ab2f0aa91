"""Sends one request to an upstream and reads its answer, whole or as a stream."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2

from inference.errors import (
    RequestRejected,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamMisnamed,
    UpstreamTimeout,
)
from inference.metrics.request_metrics import UPSTREAM_OPEN, UPSTREAM_REQUESTS
from inference.upstreams.answers import error_text
from inference.upstreams.checking import check_soon
from inference.upstreams.connections import headers_for, links
from llm_manager.lib.quoting import quote
from registry.errors import RegistryError
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from inference.upstreams.connections import Link
    from registry.models import Upstream

#: More bytes than any whole answer has.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
#: As much is read of an error.
_MAX_ERROR_BYTES = 64 * 1024
#: Repeating these changes nothing at the upstream.
_IDEMPOTENT = frozenset({"embeddings", "rerank"})
#: Statuses of an upstream that say that the request itself is at fault.
_OF_THE_REQUEST = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
#: Retry-After of more seconds is none that a client would wait for.
_MOST_RETRY_S = 3600
#: Python reads no number of thousands of digits.
_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it goes to an upstream; ``api`` is one of ``registry.models.Api``.

    ``headers`` are the client's own that the API needs.
    """

    upstream: Upstream
    api: str
    model: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@asynccontextmanager
async def answer_of(request: UpstreamRequest) -> AsyncIterator[httpx2.Response]:
    """Yield the answer, whose body is not read yet; its status is 200.

    Raises UpstreamError, and RequestRejected for what the upstream refuses. So does
    reading the body within, through ``reading``.
    """
    upstream = request.upstream
    if not upstream.is_enabled:
        raise UpstreamBusy(f"The upstream '{upstream}' is disabled.")
    link = links().to(upstream)
    wait = link.breaker.refuses_for()
    if wait is not None:
        raise UpstreamBusy(
            f"The upstream '{upstream}' has failed again and again; the next request "
            f"is sent to it in {wait:.0f} s.",
            retry_after=max(round(wait), 1),
        )
    headers = {**headers_for(upstream), **request.headers}
    link.running += 1
    result = "abandoned"
    try:
        async with _said(request):
            response = await _sent(link, request, headers)
            try:
                if response.status_code != HTTPStatus.OK:
                    raise await _refusal(request, response)
                yield response
            finally:
                await response.aclose()
        result = "answered"
    except UpstreamTimeout:
        result = "timeout"
        raise
    except UpstreamMisnamed:
        # It answers, and other models of it may be right.
        result = "refused"
        raise
    except UpstreamFailed:
        result = "failed"
        raise
    except UpstreamBusy:
        result = "busy"
        raise
    except RequestRejected:
        result = "refused"
        raise
    finally:
        link.breaker.judge(result)
        UPSTREAM_REQUESTS.labels(upstream.name, result).inc()
        UPSTREAM_OPEN.labels(upstream.name).set(link.breaker.is_open)
        await link.leave()
        check_soon(upstream, link)


async def _sent(
    link: Link, request: UpstreamRequest, headers: Mapping[str, str]
) -> httpx2.Response:
    """Return the answer's head; try once more what has certainly not begun."""
    url = request.upstream.url(Api(request.api).label)
    content = json.dumps(
        request.body, ensure_ascii=False, separators=(",", ":")
    ).encode("utf-8", "replace")
    for may_repeat in (True, False):
        outgoing = link.client.build_request(
            "POST", url, content=content, headers=headers
        )
        try:
            return await link.client.send(outgoing, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            if not may_repeat:
                raise
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
            if not may_repeat or request.api not in _IDEMPOTENT:
                raise
    raise AssertionError("unreachable")


@asynccontextmanager
async def _said(request: UpstreamRequest) -> AsyncIterator[None]:
    """Raise what goes wrong within as UpstreamError, without any secret."""
    name = request.upstream.name
    try:
        yield
    except httpx2.ConnectTimeout:
        raise UpstreamTimeout(
            f"The upstream '{name}' cannot be reached within "
            f"{request.upstream.connect_timeout_s} s."
        ) from None
    except httpx2.TimeoutException:
        raise UpstreamTimeout(
            f"The upstream '{name}' has sent nothing for "
            f"{request.upstream.read_timeout_s} s."
        ) from None
    except httpx2.ConnectError:
        raise UpstreamFailed(f"The upstream '{name}' cannot be reached.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError):
        raise UpstreamFailed(
            f"The upstream '{name}' ended its answer in the middle."
        ) from None
    except RegistryError as error:
        raise UpstreamFailed(f"The upstream '{name}': {error}") from None


async def _refusal(request: UpstreamRequest, response: httpx2.Response) -> Exception:
    """Return what an answer with another status means."""
    name, status = request.upstream.name, response.status_code
    text = await _error_of(request, response)
    said = f": {text}" if text else "."
    if status in _OF_THE_REQUEST:
        return RequestRejected(
            f"The upstream '{name}' refuses the request{said}",
            code="upstream_refused",
        )
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return UpstreamBusy(
            f"The upstream '{name}' takes no more requests now{said}",
            retry_after=_retry_after(response),
        )
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return UpstreamMisnamed(
            f"The upstream '{name}' refuses its key (status {status}); an "
            "administrator enters another one."
        )
    if status == HTTPStatus.NOT_FOUND:
        return UpstreamMisnamed(
            f"The upstream '{name}' has no route {Api(request.api).label}, or no model "
            f"'{quote(request.model)}'; an administrator corrects its row."
        )
    if 300 <= status < 400:
        return UpstreamMisnamed(
            f"The upstream '{name}' redirects, which is not followed; an administrator "
            "corrects its address."
        )
    return UpstreamFailed(f"The upstream '{name}' fails with the status {status}{said}")


async def _error_of(request: UpstreamRequest, response: httpx2.Response) -> str:
    """Return the message of an error, "" if there is none that can be shown."""
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > _MAX_ERROR_BYTES:
            return ""
    try:
        text = error_text(json.loads(data))
    except (ValueError, RecursionError):
        return ""
    # First: what is shortened may end within the key.
    return quote(without_key(request.upstream, text))


def without_key(upstream: Upstream, text: str) -> str:
    """Return a text of an upstream; one that quotes its key is not shown."""
    key = upstream.key
    return "" if key and key in text else text


def _retry_after(response: httpx2.Response) -> int | None:
    given = response.headers.get("retry-after", "")
    is_number = given.isdecimal() and len(given) < _MOST_DIGITS
    return min(max(int(given), 1), _MOST_RETRY_S) if is_number else None


async def whole(request: UpstreamRequest) -> bytes:
    """Return the body of an answer. Raises UpstreamError and RequestRejected."""
    data = bytearray()
    async with answer_of(request) as response:
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > MAX_ANSWER_BYTES:
                raise UpstreamFailed(
                    f"The upstream '{request.upstream}' answers with more than "
                    f"{MAX_ANSWER_BYTES // 2**20} MiB."
                )
    return bytes(data)
