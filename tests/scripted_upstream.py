"""An HTTP server that answers as a test says: whole, in pieces, badly or never."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Asked:
    """A request that has come."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Answer:
    """What a script writes to: an answer's head, then pieces of its body."""

    def __init__(self, writer: asyncio.StreamWriter, *, is_chunked: bool) -> None:
        self._writer = writer
        self._is_chunked = is_chunked

    async def begin(self, status: int = 200, kind: str = EVENTS, **more: str) -> None:
        """Write the head of an answer, which ends with its connection or last chunk."""
        ends = (
            {"transfer-encoding": "chunked"}
            if self._is_chunked
            else {"connection": "close"}
        )
        headers = {"content-type": kind, **ends, **more}
        lines = [f"HTTP/1.1 {status} Said"]
        lines += [f"{name.replace('_', '-')}: {v}" for name, v in headers.items()]
        await self._write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, data: str | bytes) -> None:
        """Write a piece of the body."""
        piece = data.encode() if isinstance(data, str) else data
        if self._is_chunked:
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        await self._write(piece)

    async def end(self) -> None:
        """Write what ends a chunked answer."""
        await self._write(b"0\r\n\r\n")

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def whole(self, value: Any, status: int = 200, **more: str) -> None:
        """Write a JSON answer."""
        await self.begin(status, "application/json", **more)
        await self.send(json.dumps(value))

    async def left(self) -> None:
        """Wait until the other side is gone."""
        await self._writer.wait_closed()


@dataclass
class ScriptedUpstream:
    """Plays ``script`` for every POST; a GET gets the list of ``models``.

    With ``keeps_alive`` a connection has one request after the other.
    """

    script: Callable[[Asked, Answer], Awaitable[None]]
    keeps_alive: bool = False
    connections: int = 0
    models: list[str] = field(default_factory=lambda: ["far-away"])
    asked: list[Asked] = field(default_factory=list)
    base_url: str = ""
    #: Set when a connection of a POST was closed by the other side.
    was_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def posts(self) -> list[Asked]:
        """The requests for answers."""
        return [each for each in self.asked if each.method == "POST"]

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one connection."""
        self.connections += 1
        try:
            while self.keeps_alive:
                asked = await _read(reader)
                if asked is None:
                    return
                answer = Answer(writer, is_chunked=True)
                await self._play(asked, answer)
                await answer.end()
            asked = await _read(reader)
            if asked is None:
                return
            watching = asyncio.create_task(self._watch(reader, asked))
            try:
                await self._play(asked, Answer(writer, is_chunked=False))
            finally:
                watching.cancel()
        except ConnectionError:
            self.was_left.set()
        finally:
            writer.close()

    async def _play(self, asked: Asked, answer: Answer) -> None:
        self.asked.append(asked)
        if asked.method == "GET":
            models = [{"id": name} for name in self.models]
            await answer.whole({"object": "list", "data": models})
        else:
            await self.script(asked, answer)

    async def _watch(self, reader: asyncio.StreamReader, asked: Asked) -> None:
        with suppress(ConnectionError):
            await reader.read()
        if asked.method == "POST":
            self.was_left.set()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body)


@asynccontextmanager
async def scripted_upstream(
    script: Callable[[Asked, Answer], Awaitable[None]], **more: Any
) -> AsyncIterator[ScriptedUpstream]:
    """Yield an upstream on a free port of this machine."""
    upstream = ScriptedUpstream(script, **more)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.create_task(upstream.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    upstream.base_url = f"http://{host}:{port}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        # A transport is closed in the next turn of the loop.
        await asyncio.sleep(0)


def chunk(text: str | None = None, **choice: Any) -> str:
    """Return an event of a chat's stream."""
    delta = {} if text is None else {"content": text}
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "far-away",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}],
    }
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n"


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
USAGE_CHUNK = (
    "data: " + json.dumps({"model": "far-away", "choices": [], "usage": USAGE}) + "\n\n"
)
DONE = "data: [DONE]\n\n"
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "far-away",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
