"""A request at an upstream, as those see it who look at what runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from inference.errors import RequestTimeout
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable

_T = TypeVar("_T")


class RunningCall:
    """Waits for an upstream until the deadline, and can be ended from outside.

    ``node`` is the upstream's name; ``deadline`` is the event loop's time.
    """

    replica = -1

    def __init__(self, upstream: str, deadline: float, timeout_s: float) -> None:
        self.request_id = new_request_id()
        self.node = f"upstream {upstream}"
        self.worker = self.node
        self.queued_at = time.time()
        self.is_started = False
        self.is_done = False
        self.prompt_tokens = 0
        self.tokens: list[int] = []
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._error: Exception | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._has_cancelled = False

    async def wait(self, what: Awaitable[_T]) -> _T:
        """Return what is awaited. Raises RequestTimeout and RequestCancelled.

        One clock runs until ``end``: this is called for every piece of an answer.
        """
        if self._error is not None:
            raise self._error
        if self._clock is None:
            loop = asyncio.get_running_loop()
            self._clock = loop.call_at(self._deadline, self._expire)
        task = self._waiting = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is a coroutine
        before = task.cancelling()
        try:
            return await what
        except asyncio.CancelledError:
            # Whoever else has cancelled the task wants it to end.
            if self._has_cancelled and task.cancelling() == before + 1:
                assert self._error is not None  # noqa: S101 - why it was cancelled
                raise self._error from None
            raise
        finally:
            self._waiting = None
            if self._has_cancelled:
                self._has_cancelled = False
                task.uncancel()

    def end(self) -> None:
        """Stop the clock: nothing more is waited for."""
        if self._clock is not None:
            self._clock.cancel()

    async def aclose(self) -> None:
        """Do nothing: ``fail`` ends it."""

    def fail(self, error: Exception) -> None:
        """End the request with an error, while it waits or when it waits next."""
        if self._error is not None:
            return
        self._error = error
        self.is_done = True
        if self._waiting is not None:
            self._has_cancelled = True
            self._waiting.cancel()

    def _expire(self) -> None:
        self.fail(
            RequestTimeout(f"The answer was not finished within {self._timeout_s:g} s.")
        )
