"""The chunks of an answer, for a loop and for an async one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from inference.local.loop_thread import LoopThread

_Chunk = TypeVar("_Chunk")


class _Chunks(Generic[_Chunk]):
    """What both have in common. ``batches`` runs in the manager's thread."""

    def __init__(
        self, thread: LoopThread, batches: AsyncGenerator[list[Any], None]
    ) -> None:
        self._thread = thread
        self._batches = batches
        self._ready: deque[Any] = deque()
        self._is_over = False
        #: A read that was interrupted may still be ending when the stream is closed.
        self._reading = asyncio.Lock()

    async def _next_batch(self) -> list[Any]:
        """Return the next chunks; none after the last one."""
        async with self._reading:
            return await anext(self._batches, [])

    async def _close(self) -> None:
        async with self._reading:
            await self._batches.aclose()

    def __del__(self) -> None:
        # Nothing holds the stream: the answer's place in the batch is free at once.
        if not self._is_over:
            self._is_over = True
            self._thread.run_later(self._close())


class ChunkStream(_Chunks[_Chunk]):
    """An iterator over chunks.

    Closing it ends the answer, and so does leaving its ``with``. If only its loop is
    left, the answer goes on as long as anything holds the stream.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Chunk:
        while not self._ready:
            if self._is_over:
                raise StopIteration
            try:
                batch = self._thread.run(self._next_batch())
            except BaseException:
                self.close()
                raise
            self._ready.extend(batch)
            if not batch:
                self._is_over = True
        chunk: _Chunk = self._ready.popleft()
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the answer: its place in the batch is free. Idempotent."""
        if not self._is_over:
            self._is_over = True
            self._ready.clear()
            self._thread.run(self._close())


class AsyncChunkStream(_Chunks[_Chunk]):
    """An async iterator over chunks, for any event loop of asyncio.

    ``aclose`` or leaving its ``async with`` ends the answer.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Chunk:
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            try:
                batch = await self._thread.awaited(self._next_batch())
            except BaseException:
                await self.aclose()
                raise
            self._ready.extend(batch)
            if not batch:
                self._is_over = True
        chunk: _Chunk = self._ready.popleft()
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the answer: its place in the batch is free. Idempotent."""
        if not self._is_over:
            self._is_over = True
            self._ready.clear()
            await self._thread.awaited(self._close())
