"""A lean client: plain sockets and one event loop, no HTTP library.

It shares the machine with what it measures, so events are only stamped while they
come in; JSON is read once the answer is over.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.client.answers import Answer, Call, WrongAnswer, clock, parse_stream
from benchmarks.model import END_TOKENS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from benchmarks.client.answers import Message

_MAX_LINE_BYTES = 1024 * 1024
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A server with OpenAI's API on this machine; ``keys`` are its API keys.

    With ``keeps_alive`` a connection serves one request after the other, as those of
    OpenAI's clients do; else each request has its own.
    """

    port: int
    model: str
    keys: tuple[str, ...] = ("",)
    has_usage: bool = True
    keeps_alive: bool = False
    _idle: list[_Connection] = field(default_factory=list, init=False, repr=False)

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        """Send one streaming chat request, read it to its end. Raises WrongAnswer."""
        request = self._request(call)
        started = clock()
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        events: list[tuple[float, bytes]] = []
        is_whole = False
        try:
            writer.write(request)
            await writer.drain()
            async for line in _lines(await _body(reader)):
                if not line.startswith(b"data:"):
                    continue
                events.append((clock(), line[5:].strip()))
                if on_text is not None and carries_text(line):
                    on_text()
            is_whole = True
        finally:
            if is_whole and self.keeps_alive:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return parse_stream(call, started, events, has_usage=self.has_usage)

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            await writer.wait_closed()

    async def _connect(self) -> _Connection:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, limit=_MAX_LINE_BYTES
        )

    def _request(self, call: Call) -> bytes:
        body = {
            "model": self.model,
            "messages": [
                {"role": message.role, "content": _content(message)}
                for message in call.messages
            ],
            "max_tokens": call.max_tokens,
            "stream": True,
            **call.sampling,
        }
        if self.has_usage:
            body["stream_options"] = {"include_usage": True}
        if call.exact:
            body["logit_bias"] = {str(token): -100 for token in END_TOKENS}
        content = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.keys[call.key]}\r\n"
            "Content-Type: application/json\r\n"
            f"Connection: {'keep-alive' if self.keeps_alive else 'close'}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


def _content(message: Message) -> str | list[Mapping[str, Any]]:
    if not message.media:
        return message.content
    return [{"type": "text", "text": message.content}, *message.media]


def carries_text(line: bytes) -> bool:
    """Whether an event has text, without reading its JSON."""
    _, found, content = line.partition(b'"content":')
    return bool(found) and content.lstrip()[:2] not in (b'""', b"nu")


async def _body(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Read the head of an answer; return the pieces of its body, as they come.

    Raises WrongAnswer unless the status is 200.
    """
    status = await reader.readline()
    is_chunked = False
    while (header := (await reader.readline()).strip().lower()) != b"":
        is_chunked |= header.replace(b" ", b"") == b"transfer-encoding:chunked"
    if status.split(b" ", 2)[1:2] != [b"200"]:
        raise WrongAnswer(f"{status!r}: {await reader.read(2000)!r}")
    return _chunks(reader) if is_chunked else _rest(reader)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the chunks of a chunked body. Raises WrongAnswer if it breaks off."""
    try:
        while size := int(await reader.readline(), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    except (ValueError, asyncio.IncompleteReadError) as error:
        raise WrongAnswer(f"the stream broke off: {error}") from None


async def _rest(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield a body that ends with its connection."""
    while piece := await reader.read(_MAX_LINE_BYTES):
        yield piece


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield whole lines, without their ends, however they are cut into pieces."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest
