"""httpx over connections of asyncio itself: httpcore's pool, with streams of ours."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import httpcore2
import httpx2

from registry.hub.streams import AsyncioBackend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

#: httpcore's errors have the names of httpx's.
_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
)


class AsyncTransport(httpx2.AsyncBaseTransport):
    """Does as httpx's own transport, over streams of ours."""

    def __init__(self, *, http2: bool, limits: httpx2.Limits) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http2=http2,
            network_backend=AsyncioBackend(),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises httpx2.TransportError."""
        url = request.url
        outgoing = httpcore2.Request(
            request.method,
            httpcore2.URL(
                scheme=url.raw_scheme,
                host=url.raw_host,
                port=url.port,
                target=url.raw_path,
            ),
            headers=request.headers.raw,
            content=cast("Any", request.stream),
            extensions=request.extensions,
        )
        try:
            response = await self._pool.handle_async_request(outgoing)
        except _ERRORS as error:
            raise _of_httpx(error) from error
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(cast("Any", response.stream)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._stream.__aiter__()) as pieces:
                async for piece in pieces:
                    yield piece
        except _ERRORS as error:
            raise _of_httpx(error) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _of_httpx(error: Exception) -> httpx2.TransportError:
    """Return httpx's error of the same name."""
    kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__)
    return kind(str(error))
