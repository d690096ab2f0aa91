"""Sends one request to an upstream and reads its answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing, asynccontextmanager
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
from inference.upstreams.checking import check_soon, note_pause_soon
from inference.upstreams.connections import links
from inference.upstreams.json_pool import written
from inference.upstreams.unshown import shown_text
from llm_manager.lib.quoting import quote
from registry.errors import RegistryError
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from inference.upstreams.connections import Link
    from registry.models import Upstream

logger = logging.getLogger(__name__)

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
#: What may come after the end of a stream that is kept for the next request: the end of
#: the last chunk. More of it, or later, costs the connection.
_REST_BYTES = 4096
_REST_S = 2.0


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


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An answer whose status is 200; ``pieces`` are its body as they come."""

    request: UpstreamRequest
    kind: str
    pieces: AsyncGenerator[bytes, None]

    async def whole(self, most: int = MAX_ANSWER_BYTES) -> bytes:
        """Return the body. Raises UpstreamFailed for one of more bytes."""
        data = bytearray()
        async for piece in self.pieces:
            data += piece
            if len(data) > most:
                raise UpstreamFailed(
                    f"The upstream '{self.request.upstream}' answers with more than "
                    f"{most / 2**20:g} MiB."
                )
        return bytes(data)

    async def no_stream(self) -> Exception:
        """Return why an answer that should be a stream is none."""
        try:
            value = json.loads(await self.whole(_MAX_ERROR_BYTES))
        except (UpstreamFailed, ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and value.get("error"):
            return reported(self.request, value["error"])
        return UpstreamFailed(
            f"The upstream '{self.request.upstream}' sends '{quote(self.kind)}' in the "
            "place of a stream."
        )


@asynccontextmanager
async def answer_of(request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
    """Yield the answer, whose body is not read yet.

    Raises UpstreamError, and RequestRejected for what the upstream refuses. So does
    reading the body within. A body that was read to the end of its answer leaves its
    connection to the next request.
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
    headers = {**link.headers_for(upstream), **request.headers}
    link.running += 1
    result = "abandoned"
    try:
        async with _said(request):
            response = await _sent(link, request, headers)
            pieces = response.aiter_raw()
            try:
                if response.status_code != HTTPStatus.OK:
                    raise await _refusal(request, response, pieces)
                kind = response.headers.get("content-type", "")
                yield UpstreamAnswer(request, kind, pieces)
                result = "answered"
            finally:
                if result == "answered":
                    link.running += 1
                    links().run(_to_its_end(link, pieces))
                else:
                    await pieces.aclose()
                    await response.aclose()
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
        if link.breaker.judge(result):
            note_pause_soon(upstream, link)
        UPSTREAM_REQUESTS.labels(upstream.name, result).inc()
        UPSTREAM_OPEN.labels(upstream.name).set(link.breaker.is_open)
        await link.leave()
        check_soon(upstream, link, has_failed=result in ("failed", "timeout"))


async def _to_its_end(link: Link, pieces: AsyncGenerator[bytes, None]) -> None:
    """Read what is left of an answer, so that its connection serves the next one.

    HTTP/1.1 ends an answer after its last event; nobody waits for that.
    """
    rest = 0
    try:
        async with aclosing(pieces), asyncio.timeout(_REST_S):
            async for piece in pieces:
                rest += len(piece)
                if rest > _REST_BYTES:
                    break
    except (TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        # Its connection is closed.
        pass
    finally:
        await link.leave()


async def _sent(
    link: Link, request: UpstreamRequest, headers: Mapping[str, str]
) -> httpx2.Response:
    """Return the answer's head; try once more what has certainly not begun."""
    url = request.upstream.url(Api(request.api).label)
    content = await written(request.body, client=request.upstream.name)
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
        # It names addresses inside the network, which are no client's business.
        logger.warning("The upstream '%s': %s", name, error)
        raise UpstreamFailed(
            f"The upstream '{name}' cannot be reached: its address is not found, or "
            "not permitted. An administrator checks it."
        ) from None


async def _refusal(
    request: UpstreamRequest,
    response: httpx2.Response,
    pieces: AsyncGenerator[bytes, None],
) -> Exception:
    """Return what an answer with another status means."""
    try:
        data = await UpstreamAnswer(request, "", pieces).whole(_MAX_ERROR_BYTES)
        text = error_text(json.loads(data))
    except (UpstreamFailed, ValueError, RecursionError):
        text = ""
    return _meaning(request, response.status_code, text, _retry_after(response))


def reported(request: UpstreamRequest, error: Any) -> Exception:
    """Return what an error within an answer means whose status is 200.

    Some servers give the status that they mean as its ``code``.
    """
    code = error.get("code") if isinstance(error, dict) else None
    text = error_text(error)
    if type(code) is int and 400 <= code < 600:
        return _meaning(request, code, text, None)
    shown = shown_text(request.upstream, text)
    return UpstreamFailed(
        f"The upstream '{request.upstream}' fails{': ' + shown if shown else '.'}"
    )


def _meaning(
    request: UpstreamRequest, status: int, text: str, retry_after: int | None
) -> Exception:
    """Return what a status means; ``text`` is what the upstream says of it."""
    name = request.upstream.name
    text = shown_text(request.upstream, text)
    said = f": {text}" if text else "."
    if status in _OF_THE_REQUEST:
        return RequestRejected(
            f"The upstream '{name}' refuses the request{said}",
            code="upstream_refused",
        )
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return UpstreamBusy(
            f"The upstream '{name}' takes no more requests now{said}",
            retry_after=retry_after,
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


def _retry_after(response: httpx2.Response) -> int | None:
    given = response.headers.get("retry-after", "")
    is_number = given.isdecimal() and len(given) < _MOST_DIGITS
    return min(max(int(given), 1), _MOST_RETRY_S) if is_number else None
