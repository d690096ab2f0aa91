"""Connections of httpcore on asyncio itself.

httpcore's own go through anyio. There each read is a cancel scope, two calls that begin
and end to watch the socket, and a turn of the event loop more. A server that sends each
token by itself makes as many reads as tokens.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import httpcore2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: As much is read at once.
_READ_BYTES = 64 * 1024
#: With more that nobody has taken, nothing is read.
_KEPT_BYTES = 256 * 1024


class AsyncioBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections of one event loop."""

    def __init__(self) -> None:
        # What is read is copied at once, so all connections share it. asyncio's TLS
        # reads into slices, which must be views.
        self._buffer = memoryview(bytearray(_READ_BYTES))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a connection. Raises ConnectError and ConnectTimeout."""
        with _named(httpcore2.ConnectError, httpcore2.ConnectTimeout):
            async with asyncio.timeout(timeout):
                _, stream = await asyncio.get_running_loop().create_connection(
                    lambda: AsyncioStream(self._buffer),
                    host,
                    port,
                    local_addr=None if local_address is None else (local_address, 0),
                )
        for option in socket_options or ():
            stream.get_extra_info("socket").setsockopt(*option)
        return stream

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class AsyncioStream(asyncio.BufferedProtocol, httpcore2.AsyncNetworkStream):
    """One connection. ``buffer`` is where asyncio puts what it reads."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._data = b""
        self._is_over = self._is_paused = False
        self._failure: Exception | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # What httpcore calls ---------------------------------------------------------

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,
    ) -> bytes:
        """Return what has come, b"" at the end. Raises ReadError and ReadTimeout."""
        if not self._data and not self._is_over:
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await _within(timeout, self._arrival)
            except TimeoutError:
                raise httpcore2.ReadTimeout from None
            finally:
                self._arrival = None
        if not self._data and self._failure is not None:
            raise httpcore2.ReadError(str(self._failure)) from self._failure
        data, self._data = self._data[:max_bytes], self._data[max_bytes:]
        if self._is_paused and len(self._data) < _KEPT_BYTES:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,
    ) -> None:
        """Send bytes; wait while many wait. Raises WriteError and WriteTimeout.

        What is written after the server's end is lost, as with any socket. Who reads
        has what the server has sent, and then the end.
        """
        if self._is_over:
            if self._failure is not None and not self._data:
                raise httpcore2.WriteError(str(self._failure)) from self._failure
            return
        self._transport.write(buffer)
        if self._room is not None:
            try:
                await _within(timeout, self._room)
            except TimeoutError:
                raise httpcore2.WriteTimeout from None

    async def aclose(self) -> None:
        """Close it at once."""
        self._transport.abort()
        # The socket is closed in the next turn of the event loop.
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return the connection under TLS. Raises ConnectError and ConnectTimeout."""
        loop = asyncio.get_running_loop()
        try:
            with _named(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                async with asyncio.timeout(timeout):
                    transport = await loop.start_tls(
                        self._transport,
                        self,
                        ssl_context,
                        server_hostname=server_hostname,
                    )
        except BaseException:
            self._transport.abort()
            raise
        self._transport = cast("asyncio.Transport", transport)
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection, by httpcore's names."""
        match info:
            case "is_readable":
                return self._is_over or bool(self._data) or self._is_socket_readable()
            case "client_addr":
                return self._transport.get_extra_info("sockname")
            case "server_addr":
                return self._transport.get_extra_info("peername")
        return self._transport.get_extra_info(info)

    def _is_socket_readable(self) -> bool:
        """Whether there is something that the event loop has not seen yet."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    # What asyncio calls ----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what is read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        data = bytes(self._buffer[:nbytes])
        self._data = self._data + data if self._data else data
        if len(self._data) >= _KEPT_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._arrival)

    def eof_received(self) -> None:
        """Note that nothing more comes; asyncio closes the connection."""
        self._is_over = True
        _wake(self._arrival)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self._is_over = True
        self._failure = self._failure or exc
        _wake(self._arrival)
        _wake(self._room)

    def pause_writing(self) -> None:
        """Note that enough waits to be sent."""
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Note that more can be sent."""
        _wake(self._room)
        self._room = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def _within(seconds: float | None, waiting: asyncio.Future[None]) -> None:
    """Wait at most so long. Raises TimeoutError."""
    if seconds is None:
        await waiting
        return
    clock = asyncio.get_running_loop().call_later(seconds, _expire, waiting)
    try:
        await waiting
    finally:
        clock.cancel()


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


@contextmanager
def _named(failed: type[Exception], late: type[Exception]) -> Iterator[None]:
    """Raise errors of the system by httpcore's names."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except (OSError, ssl.SSLError) as error:
        raise failed(str(error)) from error
