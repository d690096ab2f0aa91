"""The short way of the API through Django's handler."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished, request_started

from llm_manager.web.handler import Handler
from tests.fakes import accepted, begun, finished, tokens
from tests.inference.api.conftest import Api, chat_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes import FakeEngineClient


#: It has no types.
_communicator: Any = ApplicationCommunicator


class Connection:
    """One request over ASGI, as Daphne brings it."""

    def __init__(
        self,
        path: str,
        *,
        method: str = "GET",
        query: bytes = b"",
        secret: str = "",
        body: bytes = b"",
    ) -> None:
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        headers.append((b"authorization", f"Bearer {secret}".encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
        }
        scope |= {"query_string": query, "http_version": "1.1", "scheme": "http"}
        self._body = body
        self._peer: Any = _communicator(Handler(), scope)

    async def send(self) -> None:
        await self._peer.send_input({"type": "http.request", "body": self._body})

    async def leave(self) -> None:
        await self._peer.send_input({"type": "http.disconnect"})
        await self._peer.wait(5)

    async def start(self) -> Any:
        return await self._peer.receive_output(5)

    async def piece(self) -> bytes:
        body: bytes = (await self._peer.receive_output(5)).get("body", b"")
        return body

    async def rest(self) -> bytes:
        body: bytes = b""
        while True:
            output = await self._peer.receive_output(5)
            body += output.get("body", b"")
            if not output.get("more_body"):
                await self._peer.wait(5)
                return body


def streaming(api: Api) -> Connection:
    """Return a request for a stream."""
    body = json.dumps(chat_body(stream=True)).encode()
    return Connection(
        "/v1/chat/completions", method="POST", secret=api.secret or "", body=body
    )


@pytest.fixture
def signals() -> Iterator[list[str]]:
    """What Django says of requests."""
    said: list[str] = []

    def begin(**about: Any) -> None:
        said.append("started")

    def end(**about: Any) -> None:
        said.append("finished")

    request_started.connect(begin)
    request_finished.connect(end)
    yield said
    request_started.disconnect(begin)
    request_finished.disconnect(end)


async def test_an_answer_comes_whole_and_django_hears_of_it(signals: list[str]) -> None:
    request = Connection("/health")
    await request.send()

    assert (await request.start())["status"] == 200
    assert json.loads(await request.rest())["status"]
    assert signals == ["started", "finished"]


async def test_streams_hold_no_threads(api: Api, engine: FakeEngineClient) -> None:
    before = threading.active_count()
    requests = [streaming(api) for _ in range(30)]
    for request in requests:
        engine.enqueue(begun(), [tokens("a")])
        await request.send()
        assert (await request.start())["status"] == 200
        assert await request.piece()

    # The pool that asks the database has some, however many the streams are.
    assert threading.active_count() - before < len(requests) / 2
    for stream, request in zip(engine.streams, requests, strict=True):
        stream.play([finished()])
        assert (await request.rest()).endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_gives_its_sequence_up(
    api: Api, engine: FakeEngineClient, signals: list[str]
) -> None:
    engine.enqueue(begun(), [tokens("a")])
    request = streaming(api)
    await request.send()
    await request.start()
    await request.piece()

    await request.leave()

    assert [stream.is_closed for stream in engine.streams] == [True]
    assert signals == ["started", "finished"]


async def test_a_client_that_leaves_before_its_answer_gives_its_sequence_up(
    api: Api, engine: FakeEngineClient, signals: list[str]
) -> None:
    engine.enqueue([accepted()])
    request = streaming(api)
    await request.send()
    while not engine.streams:
        await asyncio.sleep(0.001)

    await request.leave()

    assert [stream.is_closed for stream in engine.streams] == [True]
    assert signals == ["started", "finished"]


async def test_a_path_that_is_none_is_answered_the_long_way() -> None:
    request = Connection("/nowhere")
    await request.send()

    assert (await request.start())["status"] == 404
    await request.rest()


async def test_a_query_that_is_no_text_is_refused(signals: list[str]) -> None:
    request = Connection("/health", query=b"\xff")
    await request.send()

    assert (await request.start())["status"] == 400
    await request.rest()
    assert signals == ["started", "finished"]
