"""The client reads streams however they are cut, and sends the call."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.client.answers import WrongAnswer
from benchmarks.client.http_client import HttpTarget, carries_text
from tests.benchmarks.client.test_answers import WHOLE
from tests.benchmarks.fakes import make_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAM = b"".join(b"data: " + event + b"\n\n" for event in WHOLE)


class Server:
    """Answers every request with the same bytes and keeps what it was sent."""

    def __init__(self, *answer: bytes) -> None:
        self.answer = answer
        self.port = 0
        self.head = b""
        self.body: dict[str, Any] = {}

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        length = int(self.head.lower().partition(b"content-length:")[2].split()[0])
        self.body = json.loads(await reader.readexactly(length))
        for piece in self.answer:
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(*answer: bytes) -> AsyncIterator[Server]:
    one = Server(*answer)
    listening = await asyncio.start_server(one.serve, "127.0.0.1")
    one.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield one


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_chunks_may_cut_events_anywhere(size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(head, chunked(*pieces)) as server:
        answer = await HttpTarget(server.port, "m").ask(make_call())
    assert answer.text == "abc"


async def test_a_connection_that_is_kept_serves_the_next_request() -> None:
    ports = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            ports.append(writer.get_extra_info("peername")[1])
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(chunked(STREAM))
            if len(ports) == 2:
                break
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        target = HttpTarget(port, "m", keeps_alive=True)
        answers = [await target.ask(make_call()) for _ in range(2)]
        await target.aclose()
    assert [answer.text for answer in answers] == ["abc", "abc"]
    assert ports[0] == ports[1]


async def test_a_body_may_end_with_its_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", STREAM) as server:
        answer = await HttpTarget(server.port, "m").ask(make_call())
    assert answer.text == "abc"


async def test_each_event_with_text_is_reported_while_it_comes() -> None:
    seen = []
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", STREAM) as server:
        target = HttpTarget(server.port, "m")
        await target.ask(make_call(), on_text=lambda: seen.append(1))
    assert len(seen) == 3


async def test_another_status_is_a_wrong_answer() -> None:
    async with serving(b"HTTP/1.1 503 Busy\r\n\r\n", b"try later") as server:
        with pytest.raises(WrongAnswer, match=r"503 Busy.*try later"):
            await HttpTarget(server.port, "m").ask(make_call())


@pytest.mark.parametrize("rest", [b"", b"ff\r\ndata: {", b"nonsense\r\n"])
async def test_a_stream_that_breaks_off_is_a_wrong_answer(rest: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(head + rest) as server:
        with pytest.raises(WrongAnswer, match="broke off"):
            await HttpTarget(server.port, "m").ask(make_call())


async def test_request_has_model_key_and_limits() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", STREAM) as server:
        target = HttpTarget(server.port, "m", keys=("first", "second"))
        await target.ask(make_call(key=1))
    assert b"Authorization: Bearer second\r\n" in server.head
    assert server.body["model"] == "m"
    assert server.body["max_tokens"] == 3
    assert server.body["temperature"] == 0
    assert server.body["stream_options"] == {"include_usage": True}
    # Nothing can end before it has all its tokens.
    assert set(server.body["logit_bias"].values()) == {-100}


async def test_a_call_that_need_not_be_exact_bans_nothing() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", STREAM) as server:
        await HttpTarget(server.port, "m").ask(make_call(exact=False))
    assert "logit_bias" not in server.body


@pytest.mark.parametrize(
    ("line", "carries"),
    [
        (b'data: {"delta":{"content":"a"}}', True),
        (b'data: {"delta": {"content": "a"}}', True),
        (b'data: {"delta":{"content":""}}', False),
        (b'data: {"delta":{"role":"assistant","content": null}}', False),
        (b'data: {"delta":{}}', False),
    ],
)
def test_text_is_seen_without_reading_json(line: bytes, carries: bool) -> None:
    assert carries_text(line) is carries
