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
        self._scope: asyncio.Timeout | None = None

    async def wait(self, what: Awaitable[_T]) -> _T:
        """Return what is awaited. Raises RequestTimeout and RequestCancelled."""
        if self._error is not None:
            raise self._error
        try:
            async with asyncio.timeout_at(self._deadline) as self._scope:
                return await what
        except TimeoutError:
            if self._error is not None:
                raise self._error from None
            raise RequestTimeout(
                f"The answer was not finished within {self._timeout_s:g} s."
            ) from None
        finally:
            self._scope = None

    async def aclose(self) -> None:
        """Do nothing: ``fail`` ends it."""

    def fail(self, error: Exception) -> None:
        """End the request with an error, while it waits or when it waits next."""
        self._error = error
        self.is_done = True
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())
