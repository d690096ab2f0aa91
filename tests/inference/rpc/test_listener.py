"""Who gets into an RPC server, over real connections; llama.cpp's part is a fake."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from inference.rpc import listener as listener_module
from inference.rpc import tunnel
from inference.rpc.errors import RpcRefused, RpcUnreachable
from inference.rpc.listener import RpcListener
from inference.rpc.messages import (
    DATA,
    SESSION,
    build,
)
from inference.rpc.tunnel import connect, rpc_status
from llm_manager.lib.tunnel.certificate import client_tls, server_tls
from llm_manager.lib.tunnel.closing import closed
from llm_manager.lib.tunnel.proofs import (
    parsed,
)

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "the secret of both sides, long enough"
DEVICE = {"name": "CPU", "description": "EPYC", "total": 2**34, "free": 2**33}


class FakeChild:
    """llama.cpp's server: it answers every message with itself, backwards."""

    made: list[FakeChild]

    def __init__(self, path: Path, n_threads: int, memory_bytes: int) -> None:
        self.path = path
        self.died = asyncio.Event()
        self.is_closed = False
        FakeChild.made.append(self)

    async def start(self) -> bool:
        self._server = await asyncio.start_unix_server(self._echo, self.path)

        return True

    async def _echo(self, reader: StreamReader, writer: StreamWriter) -> None:
        while text := await reader.read(100):
            writer.write(text[::-1])
        writer.close()

    async def wait(self) -> str:
        await self.died.wait()
        return "its process was killed by SIGKILL."

    async def close(self) -> None:
        self.is_closed = True
        self._server.close()


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    FakeChild.made = []
    monkeypatch.setattr(listener_module, "RpcChild", FakeChild)
    monkeypatch.setattr(listener_module, "_ENDS_WITHIN_S", 0.05)
    server = RpcListener(SECRET, (DEVICE,))
    listening = await server.listen("127.0.0.1", 0)
    yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()
    await server.close()


@asynccontextmanager
async def session(address: str, name: str, holder: str) -> AsyncIterator[Any]:
    reader, writer, _ = await connect(
        address, SECRET, SESSION, session=name, holder=holder
    )
    assert parsed(await reader.readline()) == {"ready": True}
    try:
        yield reader
    finally:
        await closed(writer)


async def test_who_knows_the_secret_hears_what_it_lends(address: str) -> None:
    offer = await rpc_status(address, SECRET)
    assert (offer.devices, offer.holder) == ((DEVICE,), "")


async def test_another_secret_is_refused(address: str) -> None:
    with pytest.raises(RpcRefused, match=f"{address} has another secret"):
        await rpc_status(address, "x" * 40)
    with pytest.raises(RpcRefused, match="another secret"):
        await connect(address, "x" * 40, SESSION, session="a", holder="m on n")
    assert FakeChild.made == []


async def test_another_version_is_refused_with_both_versions(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "build", lambda: "llama-cpp-python 0.0.1, tunnel 1")
    with pytest.raises(RpcRefused) as refused:
        await rpc_status(address, SECRET)
    said = str(refused.value)
    assert "0.0.1" in said
    assert build() in said
    assert "Install the same version on both" in said


@pytest.mark.parametrize(
    "text",
    [b"\x0e\x18\0\0\0\0\0\0\0" + bytes(24), b"GET / HTTP/1.1\r\n\r\n", bytes(100_000)],
)
async def test_bytes_that_are_no_tunnel_do_no_harm(address: str, text: bytes) -> None:
    host, port = address.split(":")
    # Without TLS, and with.
    for context in (None, client_tls()):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(text + b"\n")
        try:
            async with asyncio.timeout(60):
                while await reader.read(1000):
                    pass
        except (OSError, ssl.SSLError):
            pass
        writer.transport.abort()
    assert (await rpc_status(address, SECRET)).devices == (DEVICE,)
    assert FakeChild.made == []


async def test_whoever_is_in_between_is_found_out(address: str) -> None:
    context, _ = server_tls()
    host, port = address.split(":")

    async def pass_on(reader: StreamReader, writer: StreamWriter) -> None:
        far, to_far = await asyncio.open_connection(host, int(port), ssl=client_tls())
        await asyncio.wait(
            [
                asyncio.create_task(tunnel.pass_on(reader, to_far)),
                asyncio.create_task(tunnel.pass_on(far, writer)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        to_far.transport.abort()
        writer.close()

    between = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    at = between.sockets[0].getsockname()[1]
    with pytest.raises(RpcRefused):
        await rpc_status(f"127.0.0.1:{at}", SECRET)
    between.close()


async def test_nobody_there_is_a_sentence() -> None:
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    taken.close()
    with pytest.raises(RpcUnreachable, match="cannot be reached: connect"):
        await rpc_status(f"127.0.0.1:{port}", SECRET)


async def test_one_model_has_it_at_a_time(address: str) -> None:
    async with session(address, "one", "m on n"):
        assert (await rpc_status(address, SECRET)).holder == "m on n"
        with pytest.raises(RpcUnreachable, match="it serves m on n, and one model"):
            await connect(address, SECRET, SESSION, session="two", holder="x on y")
    async with session(address, "two", "x on y"):
        pass
    first, second = FakeChild.made
    assert first.is_closed
    assert first.path != second.path


async def test_a_session_carries_llama_cpps_bytes(address: str) -> None:
    async with session(address, "one", "m on n"):
        reader, writer, _ = await connect(address, SECRET, DATA, session="one")
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"cba"
        await closed(writer)
        with pytest.raises(RpcUnreachable, match="session has ended"):
            await connect(address, SECRET, DATA, session="two")
    with pytest.raises(RpcUnreachable, match="session has ended"):
        await connect(address, SECRET, DATA, session="one")


async def test_a_llama_cpp_that_does_not_start_is_said_with_its_reason(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(child: FakeChild) -> bool:
        await own_start(child)
        child.died.set()
        return False

    own_start = FakeChild.start
    monkeypatch.setattr(FakeChild, "start", start)
    reader, writer, _ = await connect(
        address, SECRET, SESSION, session="one", holder="m on n"
    )
    said = parsed(await reader.readline())
    await closed(writer)
    assert said == {"lost": "its process was killed by SIGKILL."}


async def test_the_end_of_llama_cpps_server_is_said_with_its_reason(
    address: str,
) -> None:
    async with session(address, "one", "m on n") as reader:
        FakeChild.made[0].died.set()
        said = parsed(await reader.readline())
    assert said == {"lost": "its process was killed by SIGKILL."}
