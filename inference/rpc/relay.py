"""Brings llama.cpp's connections to RPC servers: a process beside a worker.

``python -m inference.rpc.relay`` reads a line with the servers, holds a session at
each, listens on a Unix socket for each, and says so in a line. When a server is lost it
says that, and leaves llama.cpp waiting: that would abort its process. It ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from inference.rpc.errors import RpcError, RpcRefused
from inference.rpc.messages import (
    BEATS_EVERY_S,
    DATA,
    SESSION,
    SILENT_AFTER_S,
)
from inference.rpc.tunnel import CHUNK, connect, pass_on
from llm_manager.lib.tunnel.closing import closed
from llm_manager.lib.tunnel.proofs import (
    line,
    parsed,
)

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

#: Starting llama.cpp's server at the other end may take this long.
_READY_WITHIN_S = 90.0
#: When bytes stop, the session's end comes next, with its reason.
_REASON_WITHIN_S = 3.0


class _Held:
    """A session at one RPC server."""

    def __init__(self, address: str, secret: str, holder: str) -> None:
        self.address = address
        self._secret = secret
        self._holder = holder
        self._session = secrets.token_hex(16)
        self._broken = asyncio.Event()
        self._links: list[StreamWriter] = []

    async def open(self) -> None:
        """Begin the session. Raises RpcError."""
        self._reader, self._writer, _ = await connect(
            self.address,
            self._secret,
            SESSION,
            session=self._session,
            holder=self._holder,
        )
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                said = await self._said()
        except TimeoutError:
            said = {"lost": "llama.cpp's server did not start there."}
        if "ready" not in said:
            raise RpcError(self._lost(said))
        # The other servers may take longer than this one takes silence for an end.
        self._beats = asyncio.create_task(self._beat())

    async def wait(self) -> str:
        """Wait until the session is lost; return how, in a sentence."""
        broken = asyncio.create_task(self._broken.wait())
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((broken, listening), return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(listening), _REASON_WITHIN_S)
            if listening.done():
                return listening.result()
            return self._lost({"lost": "it closed a connection."})
        finally:
            for task in (self._beats, broken, listening):
                task.cancel()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass the bytes of one of llama.cpp's connections on."""
        self._links.append(writer)
        try:
            far, to_far, _ = await connect(
                self.address, self._secret, DATA, session=self._session
            )
        except RpcError:
            self._broken.set()
            return
        there = asyncio.create_task(pass_on(reader, to_far))
        back = asyncio.create_task(pass_on(far, writer))
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        if not (there.done() and there.result()):
            # The far end stopped, maybe while bytes went there: llama.cpp waits on.
            self._broken.set()
            return
        back.cancel()
        self._links.remove(writer)
        await closed(to_far)
        await closed(writer)

    async def _listen(self) -> str:
        while True:
            try:
                async with asyncio.timeout(SILENT_AFTER_S):
                    said = await self._said()
            except TimeoutError:
                said = {"lost": f"it was silent for {SILENT_AFTER_S:.0f} s."}
            if "lost" in said:
                return self._lost(said)

    async def _said(self) -> dict[str, object]:
        try:
            if text := await self._reader.readline():
                return parsed(text)
        except (OSError, ValueError):
            pass
        return {"lost": "its connection ended."}

    async def _beat(self) -> None:
        with suppress(OSError):
            while True:
                await asyncio.sleep(BEATS_EVERY_S)
                self._writer.write(line(beat=True))
                await self._writer.drain()

    def _lost(self, said: dict[str, object]) -> str:
        return f"The RPC server {self.address} was lost: {said.get('lost')}"


def _say(**members: object) -> None:
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


async def _relay(servers: list[str], secret: str, holder: str, folder: Path) -> None:
    held = [_Held(address, secret, holder) for address in servers]
    # In their order: two models that share servers do not take one each.
    for each in held:
        try:
            await each.open()
        except RpcError as error:
            is_final = isinstance(error, RpcRefused)
            _say(failed=str(error), server=each.address, is_final=is_final)
            return
    paths = [str(folder / str(number)) for number in range(len(held))]
    for each, path in zip(held, paths, strict=True):
        await asyncio.start_unix_server(each.serve, path, limit=CHUNK)
    _say(ready=paths)
    waits = {asyncio.create_task(each.wait()): each for each in held}
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    first = next(iter(done))
    _say(lost=first.result(), server=waits[first].address)
    # The worker ends now, and with it this process.
    await asyncio.Event().wait()


async def _until_ended(stdin: StreamReader) -> None:
    while await stdin.read(CHUNK):
        pass


async def _main() -> None:
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    spec = json.loads(await stdin.readline())
    # Only this user may enter it.
    with tempfile.TemporaryDirectory(prefix="llm-rpc-") as folder:
        tasks = [
            asyncio.create_task(_relay(**spec, folder=Path(folder))),
            asyncio.create_task(_until_ended(stdin)),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(_main())
