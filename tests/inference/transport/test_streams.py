from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from inference.transport.streams import Streams

if TYPE_CHECKING:
    from inference.transport.stream import Stream


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
