"""What an application receives of one request: its body, then that the client left."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from inference.api.errors import RequestTooSlow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_manager.web.asgi_types import Message

#: Bytes of a body that wait here to be read. Beyond that the connection is paused, and
#: the rest stays with the client: TCP takes no more than its buffers hold.
MAX_UNREAD_BYTES = 64 * 1024


class BodyStream:
    """Hands a body on as it comes in, no faster than the application reads it.

    ``timeout_s`` is what is left of the time that a client may take to send its whole
    request. The time in which the connection was paused does not count: then it was the
    application that took it. ``pause`` and ``resume`` stop and start the reading of the
    connection; ``on_read`` is called when the application first asks for the body.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_read: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._on_read: Callable[[], None] | None = on_read
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._paused_at: float | None = None
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._is_complete = False
        self._is_read = False
        self._is_gone = False
        self._changed = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Add a piece of the body; pause the connection if enough is unread."""
        self._pieces.append(data)
        self._unread += len(data)
        self._changed.set()
        if self._unread > MAX_UNREAD_BYTES and self._paused_at is None:
            self._paused_at = self._clock()
            self._pause()

    def end(self) -> None:
        """Note the end of the body."""
        self._is_complete = True
        self._changed.set()

    def put_nowait(self, message: Mapping[str, Any]) -> None:
        """Take what Daphne puts into its queue.

        Of this only the end of the connection counts: Daphne has no body to give.
        """
        if message["type"] == "http.disconnect":
            self._is_gone = True
            self._pieces.clear()
            self._changed.set()

    async def receive(self) -> Message:
        """Return the next message of ASGI. Raises RequestTooSlow."""
        if self._on_read is not None:
            if not self._is_complete:
                self._on_read()
            self._on_read = None
        while not self._is_gone:
            if not self._is_read and (self._pieces or self._is_complete):
                return self._next()
            await self._wait()
        return {"type": "http.disconnect"}

    def _next(self) -> Message:
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        self._is_read = self._is_complete
        if self._paused_at is not None:
            self._deadline += self._clock() - self._paused_at
            self._paused_at = None
            self._resume()
        return {"type": "http.request", "body": body, "more_body": not self._is_read}

    async def _wait(self) -> None:
        self._changed.clear()
        left = None if self._is_complete else self._deadline - self._clock()
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            raise RequestTooSlow from None
