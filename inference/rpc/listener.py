"""``llm-manager rpc``: lends this machine to models of others, one at a time.

It listens for the tunnel. llama.cpp's own server is a child of each session, on a Unix
socket in a folder of this user's: whatever it does, it ends with the session, and gives
the memory back.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.rpc.child import RpcChild
from inference.rpc.messages import (
    BEATS_EVERY_S,
    DATA,
    SESSION,
    SILENT_AFTER_S,
    STATUS,
    Ask,
    RpcOffer,
    ask_of,
    build,
)
from inference.rpc.tunnel import CHUNK, CONNECTS_WITHIN_S, pass_on
from llm_manager.lib.tunnel.certificate import server_tls
from llm_manager.lib.tunnel.closing import closed
from llm_manager.lib.tunnel.proofs import (
    is_proof,
    line,
    new_nonce,
    parsed,
    proof,
)
from llm_manager.lib.tunnel.strangers import Strangers, peer

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

logger = logging.getLogger(__name__)

#: A worker that was killed is replaced at once; its session takes a moment to end.
_ENDS_WITHIN_S = 5.0


@dataclass(slots=True)
class _Session:
    """Who has the server, and the connections to llama.cpp's server."""

    name: str
    holder: str
    child: RpcChild
    connections: set[asyncio.Task[Any]] = field(default_factory=set)
    is_ready: bool = False


class RpcListener:
    """The server of one machine. ``devices`` are what it lends, with their limits."""

    def __init__(
        self,
        secret: str,
        devices: tuple[dict[str, Any], ...],
        *,
        n_threads: int = 0,
        memory_bytes: int = 0,
    ) -> None:
        self._secret = secret
        self._devices = devices
        self._n_threads = n_threads
        self._memory_bytes = memory_bytes
        self._tls, self._certificate = server_tls()
        self._session: _Session | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._strangers = Strangers(within_s=CONNECTS_WITHIN_S)

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen for clients. Raises OSError."""
        return await asyncio.start_server(
            self._handle,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=CONNECTS_WITHIN_S,
            limit=CHUNK,
        )

    async def close(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            await self._end(self._session)

    async def _handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            ask = await self._strangers.admitted(partial(self._greet, reader, writer))
            if ask is not None:
                await self._serve(ask, reader, writer)
        except (OSError, EOFError, ValueError, TimeoutError, ssl.SSLError) as error:
            logger.info("A connection from %s ended: %r", peer(writer), error)
        finally:
            await closed(writer)

    async def _greet(self, reader: StreamReader, writer: StreamWriter) -> Ask | None:
        """Return what a client asks for that has proved to know the secret."""
        nonce = new_nonce()
        writer.write(line(nonce=nonce))
        message = parsed(await reader.readline())
        ask, given = ask_of(message), message.get("proof")
        if not is_proof(given, self._secret, "client", self._certificate, nonce, ask):
            logger.warning("A client at %s has another secret", peer(writer))
            writer.write(line(refused="another secret"))
            await writer.drain()
            return None
        own = proof(self._secret, "server", self._certificate, nonce, ask)
        answer: dict[str, Any] = {"proof": own}
        if ask.build != build():
            answer |= {
                "refused": f"it has {build()}, this machine {ask.build}. Install the "
                "same version on both.",
                "is_final": True,
            }
        elif reason := await self._why_not(ask):
            answer |= {"refused": reason}
        else:
            holder = self._session.holder if self._session else ""
            answer |= {"offer": asdict(RpcOffer(self._devices, holder))}
        try:
            writer.write(line(**answer))
            await writer.drain()
        except BaseException:
            # Also if it was cancelled: nobody else would end the session.
            if ask.purpose == SESSION and "offer" in answer and self._session:
                await self._end(self._session)
            raise
        return None if "refused" in answer else ask

    async def _why_not(self, ask: Ask) -> str:
        """Return why a request cannot be met now; empty if it can."""
        if ask.purpose == STATUS:
            return ""
        if ask.purpose == SESSION:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._free.wait(), _ENDS_WITHIN_S)
            if self._session is not None:
                return f"it serves {self._session.holder}, and one model at a time."
            self._session = _Session(ask.session, ask.holder, self._child())
            self._free.clear()
            return ""
        session = self._session
        if ask.purpose != DATA or session is None or session.name != ask.session:
            return "that session has ended."
        return ""

    def _child(self) -> RpcChild:
        # Short: the path of a Unix socket has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix="llm-rpc-"))
        return RpcChild(folder / "s", self._n_threads, self._memory_bytes)

    async def _serve(
        self, ask: Ask, reader: StreamReader, writer: StreamWriter
    ) -> None:
        session = self._session
        if ask.purpose == SESSION and session is not None:
            try:
                await self._hold(session, reader, writer)
            finally:
                await self._end(session)
        elif ask.purpose == DATA and session is not None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a handler is a task
            session.connections.add(task)
            try:
                await self._connect(session, reader, writer)
            finally:
                session.connections.discard(task)

    async def _hold(
        self, session: _Session, reader: StreamReader, writer: StreamWriter
    ) -> None:
        """Keep a session until its client or llama.cpp's server is gone."""
        if not await session.child.start():
            await self._say_lost(session, writer)
            return
        logger.info("%s has this machine now", session.holder)
        writer.write(line(ready=True))
        beats = asyncio.create_task(_beat(writer))
        gone = asyncio.create_task(_until_silent(reader))
        ended = asyncio.create_task(session.child.wait())
        tasks = (beats, gone, ended)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await self._say_lost(session, writer)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say_lost(self, session: _Session, writer: StreamWriter) -> None:
        """Say why llama.cpp's server has ended."""
        reason = await session.child.wait()
        logger.error("llama.cpp's server ended: %s", reason)
        writer.write(line(lost=reason))
        await writer.drain()

    async def _connect(
        self, session: _Session, reader: StreamReader, writer: StreamWriter
    ) -> None:
        """Pass bytes on between a client and llama.cpp's server."""
        local, to_child = await asyncio.open_unix_connection(
            session.child.path, limit=CHUNK
        )
        ways = [
            asyncio.create_task(pass_on(reader, to_child)),
            asyncio.create_task(pass_on(local, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await closed(to_child)

    async def _end(self, session: _Session) -> None:
        if self._session is not session:
            return
        logger.info("%s has left this machine", session.holder)
        for task in session.connections:
            task.cancel()
        await session.child.close()
        shutil.rmtree(session.child.path.parent, ignore_errors=True)
        self._session = None
        self._free.set()


async def _beat(writer: StreamWriter) -> None:
    while True:
        await asyncio.sleep(BEATS_EVERY_S)
        writer.write(line(beat=True))
        await writer.drain()


async def _until_silent(reader: StreamReader) -> None:
    with suppress(TimeoutError, OSError):
        while await asyncio.wait_for(reader.readline(), SILENT_AFTER_S):
            pass
