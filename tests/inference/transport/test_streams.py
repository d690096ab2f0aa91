from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import pytest

from inference.engine.request import GenerationRequest
from inference.engine.sampling.params import SamplingParams
from inference.errors import AnswerNotRead
from inference.transport import stream as streams_of_requests
from inference.transport.queue import ModelQueue
from inference.transport.stream import Stream
from inference.transport.streams import Streams
from tests.fakes import tokens


def stream(name: str) -> Stream:
    return cast("Stream", SimpleNamespace(request_id=name))


async def is_over(waiting: asyncio.Task[None]) -> bool:
    """Return whether a task has nothing to wait for."""
    await asyncio.sleep(0)
    return waiting.done()


async def test_what_looks_after_streams_waits_until_there_is_one() -> None:
    streams = Streams()
    waiting = asyncio.create_task(streams.some())
    assert not await is_over(waiting)
    streams.add(stream("a"))
    await waiting


async def test_it_waits_again_once_the_last_one_is_gone() -> None:
    streams = Streams()
    first, last = stream("a"), stream("b")
    streams.add(first)
    streams.add(last)
    streams.remove(first)
    await streams.some()
    streams.remove(last)
    streams.remove(last)
    waiting = asyncio.create_task(streams.some())
    assert not await is_over(waiting)
    waiting.cancel()


def of_request() -> Stream:
    request = GenerationRequest("a", [], SamplingParams(), prompt="Hi")
    queue = ModelQueue(1, "tiny", timeout_s=9)
    return Stream(request, queue, 0, 0, 0, close=AsyncMock())


async def test_a_stream_that_nobody_reads_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams_of_requests, "MAX_UNREAD_BYTES", 10_000)
    unread, read = of_request(), of_request()
    for _ in range(100):
        unread.put(tokens("x"))
        read.put(tokens("x"))
        await read.events()

    assert unread.is_done
    with pytest.raises(AnswerNotRead, match="Read faster"):
        await unread.events()
    assert not read.is_done


async def test_what_a_stream_begins_with_is_no_backlog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams_of_requests, "MAX_UNREAD_BYTES", 10_000)
    resumed = of_request()
    resumed.begin_with([tokens("x")] * 100, now=0)
    resumed.put(tokens("x"))
    assert len(await resumed.events()) == 101
