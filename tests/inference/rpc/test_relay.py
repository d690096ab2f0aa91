"""What a relay does with llama.cpp's connections; the RPC server is a fake."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from inference.rpc import relay
from inference.rpc.messages import (
    SESSION,
)
from inference.rpc.relay import _Held
from llm_manager.lib.tunnel.proofs import (
    line,
    parsed,
)

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter


class Far:
    """A connection to an RPC server: it takes bytes, and sends none by itself."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.waits = asyncio.Event()
        self.is_full = False
        self.is_closed = False
        self._reset = asyncio.Event()
        self.transport = self

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.lines.put_nowait(data)

    async def drain(self) -> None:
        """Wait, if the network is slow, until the connection is reset."""
        if self.is_full:
            self.waits.set()
            await self._reset.wait()
            raise ConnectionResetError

    def reset(self) -> None:
        """End both directions in one moment, as the system does."""
        self.reader.feed_eof()
        self._reset.set()

    def close(self) -> None:
        """Note that it is closed."""
        self.is_closed = True

    def abort(self) -> None:
        """Nothing is left to send."""

    async def wait_closed(self) -> None:
        """Return at once."""


@pytest.fixture
async def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    far = Far()

    async def connect(_address: str, _secret: str, purpose: str, **_more: str) -> Any:
        if purpose == SESSION:
            far.reader.feed_data(line(ready=True))
        return far.reader, far, None

    monkeypatch.setattr(relay, "connect", connect)
    return far


@pytest.fixture
async def held() -> _Held:
    return _Held("b:1", "secret", "m on n")


async def llama_cpp() -> tuple[StreamWriter, StreamReader, StreamWriter]:
    """Return llama.cpp's end of a connection, and both parts of the relay's end."""
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=theirs)
    return writer, *await asyncio.open_connection(sock=ours)


async def test_llama_cpp_waits_on_when_a_server_is_lost_while_it_sends(
    held: _Held, far: Far
) -> None:
    far.is_full = True
    llama, reader, writer = await llama_cpp()
    serving = asyncio.create_task(held.serve(reader, writer))
    llama.write(b"weights")
    await far.waits.wait()
    far.reset()
    await serving
    # It would abort its process if its connection were closed.
    assert not writer.is_closing()
    assert held._broken.is_set()
    writer.close()
    llama.close()


async def test_a_connection_that_llama_cpp_closes_is_no_loss(
    held: _Held, far: Far
) -> None:
    llama, reader, writer = await llama_cpp()
    serving = asyncio.create_task(held.serve(reader, writer))
    llama.close()
    await serving
    assert far.is_closed
    assert not held._broken.is_set()


async def test_a_server_hears_of_its_session_before_the_others_are_ready(
    held: _Held, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BEATS_EVERY_S", 0.0)
    await held.open()
    async with asyncio.timeout(60):
        assert parsed(await far.lines.get()) == {"beat": True}
    held._beats.cancel()
