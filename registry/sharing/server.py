"""The server of a node's model files, for the other nodes of the installation."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from llm_manager.lib.tunnel.certificate import server_tls
from llm_manager.lib.tunnel.closing import closed
from llm_manager.lib.tunnel.proofs import is_proof, line, new_nonce, parsed, proof
from llm_manager.lib.tunnel.strangers import Strangers, peer
from registry.scan.folders import is_under, mtime_ns
from registry.sharing.messages import (
    BEATS_EVERY_S,
    CONNECTS_WITHIN_S,
    DESCRIBE,
    SILENT_AFTER_S,
    FileAsk,
    ask_of,
)

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable, Sequence

    from registry.sharing.byte_rate import ByteRate

logger = logging.getLogger(__name__)

#: Files that are sent, or described, at once.
_MOST_AT_ONCE = 4
_CHUNK = 1024 * 1024
_GONE, _BUSY = 410, 503


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The files of a model as their node reports them; ``size`` and time are of all."""

    paths: tuple[str, ...]
    size: int
    mtime_ns: int


class NotSent(Exception):
    """A request that is not met; ``status`` is that of HTTP which means the same."""

    def __init__(self, reason: str, status: int = _GONE) -> None:
        super().__init__(reason)
        self.status = status


class FileServer:
    """Sends files to who knows the secret.

    ``find`` returns the files of a fingerprint that this node reports, or None;
    ``roots`` are the resolved models directories, out of which nothing is sent. All
    transfers together are no faster than ``rate``.
    """

    def __init__(
        self,
        secret: str,
        find: Callable[[str], Awaitable[SharedFiles | None]],
        roots: Sequence[str],
        rate: ByteRate,
    ) -> None:
        self._secret = secret
        self._find = find
        self._roots = roots
        self._rate = rate
        self._tls, self._certificate = server_tls()
        self._strangers = Strangers(within_s=CONNECTS_WITHIN_S)
        self._at_once = 0
        self._hashing = asyncio.Lock()
        self._digests: dict[tuple[str, int, int], str] = {}

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen for other nodes. Raises OSError."""
        return await asyncio.start_server(
            self._handle,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=CONNECTS_WITHIN_S,
        )

    async def _handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            ask = await self._strangers.admitted(partial(self._greet, reader, writer))
            if ask is not None:
                await self._answer(ask, writer)
        except (OSError, EOFError, ValueError, TimeoutError, ssl.SSLError) as error:
            logger.info("A connection from %s ended: %r", peer(writer), error)
        finally:
            await closed(writer)

    async def _greet(
        self, reader: StreamReader, writer: StreamWriter
    ) -> FileAsk | None:
        """Return what a client asks for that has proved to know the secret."""
        nonce = new_nonce()
        writer.write(line(nonce=nonce))
        message = parsed(await reader.readline())
        ask, given = ask_of(message), message.get("proof")
        if not is_proof(given, self._secret, "client", self._certificate, nonce, ask):
            logger.warning("A client at %s has another secret", peer(writer))
            writer.write(line(stranger=True))
            await writer.drain()
            return None
        own = proof(self._secret, "server", self._certificate, nonce, ask)
        writer.write(line(proof=own))
        await writer.drain()
        return ask

    async def _answer(self, ask: FileAsk, writer: StreamWriter) -> None:
        if self._at_once >= _MOST_AT_ONCE:
            writer.write(line(refused="it sends as much as it can", status=_BUSY))
            await _drained(writer)
            return
        self._at_once += 1
        try:
            files = await self._found(ask.fingerprint)
            if ask.purpose == DESCRIBE:
                await self._describe(files, writer)
            else:
                await self._send(files, ask, writer)
        except NotSent as error:
            writer.write(line(refused=str(error), status=error.status))
            await _drained(writer)
        finally:
            self._at_once -= 1

    async def _found(self, fingerprint: str) -> SharedFiles:
        """Return the files that have a fingerprint. Raises NotSent."""
        files = await self._find(fingerprint)
        if files is None:
            raise NotSent("it has no such model any more")
        await asyncio.to_thread(self._check, files)
        return files

    def _check(self, files: SharedFiles) -> None:
        """Raise NotSent unless the files are as they were reported, and in place."""
        size = latest = 0
        for path in files.paths:
            real = os.path.realpath(path)
            if not any(is_under(real, root) for root in self._roots):
                raise NotSent("its file is outside of the models directories")
            try:
                status = Path(real).stat()
            except OSError:
                raise NotSent("its file is gone") from None
            size, latest = size + status.st_size, max(latest, mtime_ns(status))
        if (size, latest) != (files.size, files.mtime_ns):
            raise NotSent("its file has changed")

    async def _describe(self, files: SharedFiles, writer: StreamWriter) -> None:
        hashing = asyncio.create_task(self._hashes(files))
        try:
            while not hashing.done():
                await asyncio.wait([hashing], timeout=BEATS_EVERY_S)
                if not hashing.done():
                    writer.write(line(busy=True))
                    await _drained(writer)
            writer.write(line(files=hashing.result()))
            await _drained(writer)
        finally:
            hashing.cancel()

    async def _hashes(self, files: SharedFiles) -> list[list[object]]:
        """Return the size and the SHA-256 of each file; one file is read at a time."""
        found: list[list[object]] = []
        for path in files.paths:
            async with self._hashing:
                found.append(list(await asyncio.to_thread(self._hash, path)))
        return found

    def _hash(self, path: str) -> tuple[int, str]:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            key = (path, status.st_size, status.st_mtime_ns)
            if key not in self._digests:
                self._digests[key] = _sha256(file)
            return status.st_size, self._digests[key]

    async def _send(
        self, files: SharedFiles, ask: FileAsk, writer: StreamWriter
    ) -> None:
        if ask.number >= len(files.paths):
            raise NotSent("it has no such file")
        with await asyncio.to_thread(_opened, files.paths[ask.number]) as file:
            size = os.fstat(file.fileno()).st_size
            if ask.offset > size:
                raise NotSent("it has fewer bytes", 416)
            file.seek(ask.offset)
            writer.write(line(size=size))
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                writer.write(chunk)
                await _drained(writer)
                await asyncio.sleep(self._rate.passed(len(chunk)))
        logger.info("Sent %s to %s", files.paths[ask.number], peer(writer))


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _opened(path: str) -> BinaryIO:
    """Open a file. Raises NotSent."""
    try:
        # O_NONBLOCK: do not wait for a writer if a pipe has replaced the file.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags), "rb", buffering=0)
    except OSError:
        raise NotSent("its file is gone") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotSent("its file is gone")
    return file


async def _drained(writer: StreamWriter) -> None:
    """Wait until a client has taken enough. Raises TimeoutError."""
    await asyncio.wait_for(writer.drain(), SILENT_AFTER_S)
