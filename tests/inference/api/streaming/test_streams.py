"""Completions with stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from inference.api import event_stream
from inference.api.responses import EventStreamResponse
from inference.api.streaming import collecting as streaming
from inference.errors import QueueFull, RequestRejected
from llm_manager.lib.request_id import request_id_begin
from tests.fakes import accepted, begun, finished, started, tokens
from tests.inference.api.conftest import Api, events_of, read_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.fakes import FakeEngineClient


def choices_of(events: list[Any]) -> list[Any]:
    """Return (index, delta, finish_reason) of each event that has a choice."""
    choices = [choice for event in events[:-1] for choice in event["choices"]]
    return [(c["index"], c["delta"], c["finish_reason"]) for c in choices]


async def test_a_chat_stream_is_role_text_reason_and_done(api: Api) -> None:
    response = await api.chat(stream=True)
    events = events_of(await read_stream(response))

    assert response.status_code == 200
    assert response["content-type"] == "text/event-stream; charset=utf-8"
    assert response["cache-control"] == "no-cache"
    assert response["x-accel-buffering"] == "no"
    assert choices_of(events) == [
        (0, {"role": "assistant", "content": ""}, None),
        (0, {"content": "Hello"}, None),
        (0, {"content": " world"}, None),
        (0, {}, "stop"),
    ]
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


async def test_the_usage_comes_last_and_alone_when_asked_for(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hi"), finished(cached=3)])
    response = await api.chat(stream=True, stream_options={"include_usage": True})
    *chunks, usage, done = events_of(await read_stream(response))

    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 7
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_events_that_are_there_go_out_in_one_piece(
    api: Api, engine: FakeEngineClient
) -> None:
    text = 'a "quoted"\n line · 日本 \u2028'
    engine.enqueue([*begun(), tokens("x"), tokens(text), tokens(""), finished()])

    pieces = await read_stream(await api.chat(stream=True))

    assert len(pieces) == 2
    assert choices_of(events_of(pieces))[1] == (0, {"content": "x" + text}, None)


async def test_several_answers_come_under_their_index(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("a")], 0.05, [tokens("c"), finished()])
    engine.enqueue(begun(), [tokens("b")], [finished("length", "!")])

    events = events_of(await read_stream(await api.chat(stream=True, n=2)))

    deltas = choices_of(events)
    first = [(delta, reason) for index, delta, reason in deltas if index == 0]
    second = [(delta, reason) for index, delta, reason in deltas if index == 1]
    role = ({"role": "assistant", "content": ""}, None)
    end: Any = ({}, "stop")
    assert first == [role, ({"content": "a"}, None), ({"content": "c"}, None), end]
    assert second[0] == role
    assert "".join(delta.get("content", "") for delta, _ in second) == "b!"
    assert second[-1] == ({}, "length")


async def test_text_completions_stream_too(api: Api) -> None:
    response = await api.complete(stream=True, stream_options={"include_usage": True})
    *chunks, usage, _ = events_of(await read_stream(response))

    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    choices = [chunk["choices"][0] for chunk in chunks]
    texts = [(choice["text"], choice["finish_reason"]) for choice in choices]
    assert texts == [("Hello", None), (" world", None), ("", "stop")]
    assert usage["usage"]["prompt_tokens"] == 5


async def test_a_failure_before_the_first_event_has_its_own_status(
    api: Api, engine: FakeEngineClient
) -> None:
    too_long = "The context is 10 tokens, and the prompt has 12."
    engine.enqueue(
        RequestRejected(too_long, code="context_length_exceeded", param="prompt")
    )
    engine.refuse(QueueFull("Too many requests wait.", retry_after=7), after=1)

    rejected = await api.chat(stream=True)
    full = await api.chat(stream=True)

    assert rejected.status_code == 400
    assert rejected.json()["error"] == {
        "message": too_long,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    assert engine.streams[0].is_closed
    assert (full.status_code, full["retry-after"]) == (503, "7")
    assert full.json()["error"]["code"] == "queue_full"


async def test_a_failure_in_the_stream_is_an_event_and_then_done(
    api: Api, engine: FakeEngineClient, caplog: pytest.LogCaptureFixture
) -> None:
    engine.enqueue(begun(), [tokens("Hel")], RuntimeError("secret detail"))
    request_id_begin("id-1")

    response = await api.chat(stream=True)
    events = events_of(await read_stream(response))

    assert events[-2]["error"]["code"] == "internal_error"
    assert "Request id-1 failed" in caplog.text
    assert events[-1] == "[DONE]"
    assert "secret" not in str(events)
    assert engine.streams[0].is_closed


@pytest.mark.parametrize(
    ("before", "start"),
    [([], begun()), ([[accepted()]], [started()])],
    ids=["queue", "worker"],
)
async def test_a_request_that_waits_gets_comments_until_it_starts(
    api: Api,
    engine: FakeEngineClient,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Any],
    start: list[Any],
) -> None:
    monkeypatch.setattr(event_stream, "FIRST_SIGN_S", 0.02)
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.02)
    engine.enqueue(*before)

    response = await api.chat(stream=True)
    assert response.status_code == 200
    pieces = aiter(response)
    for _ in range(3):
        assert await anext(pieces) == b": keep-alive\n\n"
    engine.streams[0].play(start, [finished("stop", "late")])
    rest = [piece async for piece in pieces]

    assert choices_of(events_of(rest))[1] == (0, {"content": "late"}, None)


async def test_a_failure_while_a_request_waits_names_the_requests_own_field(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "FIRST_SIGN_S", 0.02)
    error = RequestRejected("Too long.", code="context_length_exceeded", param="prompt")
    engine.enqueue()

    response = await api.chat(stream=True)
    engine.streams[0].play(error)
    events = events_of(await read_stream(response))

    assert events[0]["error"]["param"] == "messages"


async def test_a_stream_that_takes_too_long_ends_with_an_error(
    api: Api, engine: FakeEngineClient, configure: Callable[..., None]
) -> None:
    configure(server__request_timeout=1)
    engine.enqueue(begun(), [tokens("and")])

    events = events_of(await read_stream(await api.chat(stream=True)))

    assert events[-2]["error"]["code"] == "request_timeout"
    assert engine.streams[0].is_closed


async def test_a_client_that_stops_reading_closes_all_streams(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("a")])
    engine.enqueue(begun(), [tokens("b")])
    response = await api.chat(stream=True, n=2)
    iterator: AsyncIterator[bytes] = aiter(response)
    await anext(iterator)
    assert not engine.streams[0].is_closed

    is_reading = asyncio.Event()
    reader = asyncio.create_task(_drain(iterator, is_reading))
    await is_reading.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader

    assert [stream.is_closed for stream in engine.streams] == [True, True]


async def test_closing_the_response_runs_the_streams_end_at_once() -> None:
    ended: list[bool] = []

    async def events() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append(True)

    iterator: Any = aiter(EventStreamResponse(events()))
    await anext(iterator)
    await iterator.aclose()

    assert ended == [True]


async def _drain(iterator: AsyncIterator[bytes], is_reading: asyncio.Event) -> None:
    # A test that waits for this goes on when the iterator has nothing more to give.
    is_reading.set()
    async for _ in iterator:
        pass
