"""Connections of httpcore on asyncio itself, to real sockets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2
import pytest

from registry.hub.async_transport import AsyncTransport
from registry.hub.streams import AsyncioBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

#: Longer than any of it takes.
_ENOUGH_S = 60.0
#: Over before anything comes that never comes.
_SOON_S = 0.05


@asynccontextmanager
async def _connected(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Any]:
    """Yield a connection to a server that does what ``serve`` does."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = await AsyncioBackend().connect_tcp("127.0.0.1", port, timeout=_ENOUGH_S)
    try:
        yield stream
    finally:
        await stream.aclose()
        server.close()
        await server.wait_closed()


async def test_pieces_are_read_as_they_come_and_then_the_end() -> None:
    go_on = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"one")
        await go_on.wait()
        writer.write(b"two")

    async with _connected(serve) as stream:
        assert await stream.read(100, _ENOUGH_S) == b"one"
        assert not stream.get_extra_info("is_readable")
        go_on.set()
        # No more than is asked for; the rest stays.
        assert await stream.read(2, _ENOUGH_S) == b"tw"
        assert stream.get_extra_info("is_readable")
        assert await stream.read(100, _ENOUGH_S) == b"o"
        assert await stream.read(100, _ENOUGH_S) == b""
        assert stream.get_extra_info("is_readable")


async def test_silence_ends_a_read_and_the_next_one_goes_on() -> None:
    go_on = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(b"late")

    async with _connected(serve) as stream:
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(100, _SOON_S)
        go_on.set()
        assert await stream.read(100, _ENOUGH_S) == b"late"


async def test_no_more_is_read_than_somebody_takes() -> None:
    sent = 0
    is_full = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        socket_ = writer.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        piece = b"x" * 64 * 1024
        for _number in range(1024):
            writer.write(piece)
            try:
                await asyncio.wait_for(writer.drain(), 1 if sent else _ENOUGH_S)
            except TimeoutError:
                is_full.set()
                await asyncio.wait_for(writer.drain(), _ENOUGH_S)
            sent += len(piece)

    async with _connected(serve) as stream:
        # 64 MiB would have come by then, if it all were taken.
        await asyncio.wait_for(is_full.wait(), _ENOUGH_S)
        got = 0
        while piece := await stream.read(1 << 20, _ENOUGH_S):
            assert len(piece) < 1 << 20
            got += len(piece)
        assert got == 64 * 1024 * 1024


async def test_a_write_waits_for_whoever_does_not_read() -> None:
    go_on = asyncio.Event()
    got = bytearray()
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await go_on.wait()
        while data := await reader.read(1 << 20):
            got.extend(data)
            if len(got) == 32 * 1024 * 1024:
                is_over.set()

    async with _connected(serve) as stream:
        with pytest.raises(httpcore2.WriteTimeout):
            await stream.write(b"y" * 32 * 1024 * 1024, _SOON_S)
        go_on.set()
        await asyncio.wait_for(is_over.wait(), _ENOUGH_S)


async def test_a_broken_connection_is_an_error_of_its_kind() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        # Closed so, the other side sees a reset.
        linger = b"\1\0\0\0\0\0\0\0"
        socket_ = writer.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with _connected(serve) as stream:
        await stream.write(b"?", _ENOUGH_S)
        with pytest.raises(httpcore2.ReadError):
            await stream.read(100, _ENOUGH_S)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"?", _ENOUGH_S)


async def test_what_came_before_the_servers_end_is_read_after_a_write() -> None:
    """As by HTTP/2, where each read is acknowledged."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"all of it")
        writer.close()

    async with _connected(serve) as stream:
        await stream.write(b"?", _ENOUGH_S)
        assert await stream.read(3, _ENOUGH_S) == b"all"
        async with asyncio.timeout(_ENOUGH_S):
            while not stream._is_over:
                await asyncio.sleep(0.001)
        await stream.write(b"thanks", _ENOUGH_S)
        assert await stream.read(100, _ENOUGH_S) == b" of it"
        assert await stream.read(100, _ENOUGH_S) == b""


async def test_nobody_there_is_an_error_of_httpx() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # Bound and not listening: connections are refused.
        transport = AsyncTransport(http2=False, limits=httpx2.Limits())
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"http://127.0.0.1:{port}/")


async def test_a_server_without_tls_is_an_error_of_httpx() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = AsyncTransport(http2=True, limits=httpx2.Limits())
    async with server, httpx2.AsyncClient(transport=transport, trust_env=False) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"https://127.0.0.1:{port}/", timeout=_ENOUGH_S)


async def test_a_connection_whose_server_left_serves_no_other_request() -> None:
    """A request after it gets a connection of its own, and its answer."""
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await reader.readuntil(b"\r\n\r\n")
        answered += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = AsyncTransport(http2=False, limits=httpx2.Limits())
    async with server, httpx2.AsyncClient(transport=transport, trust_env=False) as http:
        for number in (1, 2, 3):
            assert (await http.get(f"http://127.0.0.1:{port}/")).text == "hi"
            assert answered == number
