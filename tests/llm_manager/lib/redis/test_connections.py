"""A connection that the kernel has given up is an error, and is made again."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from llm_manager.lib.redis.connections import TcpConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """Serve one channel: who subscribes has a message. Yields the port."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            while line := await reader.readline():
                if line == b"SUBSCRIBE\r\n":
                    writer.write(SUBSCRIBED + MESSAGE)

    started = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with started:
        yield started.sockets[0].getsockname()[1]
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_subscriber_hears_that_the_network_is_silent() -> None:
    async with server() as port:
        pool: ConnectionPool = ConnectionPool(
            connection_class=TcpConnection,
            host="127.0.0.1",
            port=port,
            lib_name=None,
            lib_version=None,
        )
        async with Redis(connection_pool=pool) as client, client.pubsub() as pubsub:
            await pubsub.subscribe("c")
            assert await _hello(pubsub) == b"hello"
            connection = pubsub.connection
            assert connection is not None
            reader = connection._reader
            assert reader is not None
            reader.set_exception(TimeoutError(errno.ETIMEDOUT, "timed out"))
            with pytest.raises(RedisConnectionError, match="silent"):
                await _hello(pubsub)
            # channels_redis goes on, and redis-py connects and subscribes again.
            assert await _hello(pubsub) == b"hello"
            assert connection._reader is not reader
        await pool.disconnect()


async def test_a_silent_connection_raises_and_ends() -> None:
    async with server() as port:
        connection = TcpConnection(
            host="127.0.0.1", port=port, lib_name=None, lib_version=None
        )
        await connection.connect()  # type: ignore[no-untyped-call]
        assert await connection.read_response(timeout=0.01) is None
        assert connection._reader is not None
        connection._reader.set_exception(TimeoutError(errno.ETIMEDOUT, "timed out"))
        with pytest.raises(RedisConnectionError, match="silent"):
            await connection.read_response(timeout=0.01)
        assert not connection.is_connected


async def _hello(pubsub: object) -> bytes:
    async with asyncio.timeout(10):
        while True:
            message = await pubsub.get_message(  # type: ignore[attr-defined]
                ignore_subscribe_messages=True, timeout=0.1
            )
            if message is not None:
                data: bytes = message["data"]
                return data
