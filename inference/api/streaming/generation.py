"""Runs the sequences of one request in parallel and merges their events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from inference.errors import AnswerNotRead
from inference.transport.messages.events import (
    MAX_UNREAD_BYTES,
    Accepted,
    Event,
    num_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue


class EventStream(Protocol):
    """The events of one sequence."""

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for an event; return all that are available."""

    async def aclose(self) -> None:
        """Give up the sequence if it is not done."""


class Client(Protocol):
    """The client of the workers."""

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> EventStream:
        """Queue a request; its stream begins with the events so far."""


#: An event, and the number of the sequence that it belongs to.
Numbered = tuple[int, Event]


class Generation:
    """The streams of one request.

    The first sequence that fails fails the request. The caller that starts a generation
    must close it.
    """

    def __init__(self) -> None:
        self._streams: list[EventStream] = []
        self._unfinished: set[int] = set()
        self._early: list[Numbered] = []
        self._arrived: asyncio.Queue[tuple[int, list[Event] | Exception]] = (
            asyncio.Queue()
        )
        #: Of what has arrived from several streams; a single one counts its own.
        self._unread_bytes = 0
        self._pumps: list[asyncio.Task[None]] = []

    async def start(
        self, client: Client, requests: Sequence[ModelRequest], queue: ModelQueue
    ) -> None:
        """Submit the requests. Raises InferenceError, perhaps after submitting some."""
        for request in requests:
            self._unfinished.add(len(self._streams))
            self._streams.append(await client.submit(request, queue))
        if len(requests) > 1:
            self._pumps = [
                asyncio.create_task(self._pump(index, stream))
                for index, stream in enumerate(self._streams)
            ]

    @property
    def is_done(self) -> bool:
        """Whether every sequence has finished and all events were read."""
        return not self._unfinished and not self._early

    async def started(self, within_s: float) -> bool:
        """Wait until every sequence has started; return False after the timeout.

        An accepted request may still wait in its worker, and be refused. Raises the
        error of a sequence that fails. The events stay to be read.
        """
        waiting = set(self._unfinished)
        deadline = asyncio.get_running_loop().time() + within_s
        while waiting:
            left = deadline - asyncio.get_running_loop().time()
            events = await self._next(max(left, 0))
            if not events:
                return False
            self._early.extend(events)
            waiting.difference_update(
                index for index, event in events if not isinstance(event, Accepted)
            )
        return True

    async def events(self, timeout_s: float | None = None) -> list[Numbered]:
        """Wait for an event; return all that are available.

        Returns none after ``timeout_s``. Raises InferenceError.
        """
        if self._early:
            early, self._early = self._early, []
            return early
        return await self._next(timeout_s)

    async def give_up(self, index: int) -> None:
        """End one sequence; events that it has sent already may still arrive."""
        self._unfinished.discard(index)
        if self._pumps:
            self._pumps[index].cancel()
        await self._streams[index].aclose()

    async def aclose(self) -> None:
        """Give up every sequence that is not done. Idempotent."""
        for pump in self._pumps:
            pump.cancel()
        self._pumps.clear()
        streams, self._streams = self._streams, []
        if len(streams) == 1:
            # The usual case needs no task.
            await streams[0].aclose()
        else:
            await asyncio.gather(*(stream.aclose() for stream in streams))

    async def _next(self, timeout_s: float | None) -> list[Numbered]:
        if len(self._streams) == 1:
            # The usual case needs no task and no queue.
            return self._numbered(0, await self._streams[0].events(timeout_s))
        try:
            async with asyncio.timeout(timeout_s):
                arrived = [await self._arrived.get()]
        except TimeoutError:
            return []
        while not self._arrived.empty():
            arrived.append(self._arrived.get_nowait())
        self._unread_bytes = 0
        numbered: list[Numbered] = []
        for index, events in arrived:
            if isinstance(events, Exception):
                raise events
            numbered.extend(self._numbered(index, events))
        return numbered

    def _numbered(self, index: int, events: list[Event]) -> list[Numbered]:
        if events and events[-1].is_last:
            self._unfinished.discard(index)
        return [(index, event) for event in events]

    async def _pump(self, index: int, stream: EventStream) -> None:
        """Move a stream's events to the common queue."""
        try:
            while True:
                events = await stream.events()
                self._unread_bytes += sum(map(num_bytes, events))
                if self._unread_bytes > MAX_UNREAD_BYTES:
                    await self._end_unread(index)
                    return
                self._arrived.put_nowait((index, events))
                if events and events[-1].is_last:
                    return
        except Exception as error:
            self._arrived.put_nowait((index, error))

    async def _end_unread(self, index: int) -> None:
        """End all sequences and drop what has come: nobody reads it."""
        while not self._arrived.empty():
            self._arrived.get_nowait()
        self._arrived.put_nowait((index, AnswerNotRead()))
        for other, pump in enumerate(self._pumps):
            if other != index:
                pump.cancel()
        await asyncio.gather(*(stream.aclose() for stream in self._streams))
