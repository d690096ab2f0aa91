"""The streams of a program's requests to one of its workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inference.transport.messages.commands import Abort
from inference.transport.messages.events import Released
from inference.transport.messages.requests import QueuedRequest
from inference.transport.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.queue import ModelQueue


class WorkerClient:
    """Sends requests to one worker, and its events to their streams.

    ``send`` passes messages to the worker. All runs in one event loop.
    """

    def __init__(self, send: Callable[[QueuedRequest | Abort], None]) -> None:
        self._send = send
        self._streams: dict[str, Stream] = {}
        self._error: Exception | None = None

    def __len__(self) -> int:
        """Return the number of streams that have not ended."""
        return len(self._streams)

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> Stream:
        """Send a request; return its stream. Raises why there is no worker any more.

        There are never events so far: a request ends with its worker.
        """
        if self._error is not None:
            raise self._error
        now = time.time()
        stream = Stream(
            request=request,
            queue=queue,
            deadline=float("inf"),
            arrived_at=now,
            queued_at=now,
            close=self._close,
        )
        self._streams[stream.request_id] = stream
        self._send(QueuedRequest(request, "", stream.deadline))
        return stream

    def take(self, events: Iterable[Event]) -> None:
        """Pass events on to their streams."""
        for event in events:
            # A stream that was closed may still get some.
            stream = self._streams.get(event.request_id)
            if stream is None or isinstance(event, Released):
                continue
            stream.put(event)
            if stream.is_done:
                del self._streams[stream.request_id]

    def fail(self, error: Exception) -> None:
        """End every stream, and refuse others: there is no worker any more."""
        self._error = error
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(error)

    async def _close(self, stream: Stream) -> None:
        stream.is_done = True
        if self._streams.pop(stream.request_id, None) is not None:
            self._send(Abort((stream.request_id,)))
