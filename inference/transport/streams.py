"""The streams of one web process, and the detached ones among them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.transport.stream import Stream


class Streams:
    """The unfinished streams, by request id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Stream] = {}
        self._are_some = asyncio.Event()
        #: Set whenever a stream is detached.
        self.detached = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Stream]:
        """Yield the streams of a snapshot: the set may change meanwhile."""
        return iter(list(self._by_id.values()))

    def get(self, request_id: str) -> Stream | None:
        """Return the stream of a request."""
        return self._by_id.get(request_id)

    def of_worker(self, incarnation: str) -> list[Stream]:
        """Return the streams that this worker has."""
        return [stream for stream in self if stream.worker == incarnation]

    def add(self, stream: Stream) -> None:
        """Keep a stream."""
        self._by_id[stream.request_id] = stream
        self._are_some.set()

    def remove(self, stream: Stream) -> None:
        """Forget a stream. Idempotent."""
        self._by_id.pop(stream.request_id, None)
        if not self._by_id:
            self._are_some.clear()

    async def some(self) -> None:
        """Wait until there is a stream: without one nothing has to be looked after."""
        await self._are_some.wait()

    def detach(self, stream: Stream, *, worker_died: bool = False) -> None:
        """Detach a stream from its worker, to be queued again under a new id."""
        self.remove(stream)
        stream.detach(time.time(), worker_died=worker_died)
        self.add(stream)
        self.detached.set()
