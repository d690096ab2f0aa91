"""A worker process that has loaded its program and waits for its model.

Half of the time in which a small model is loaded, Python reads modules. So a process is
kept ready for the next load, and for the worker that comes after one that died.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from inference.engine.config.cpu_threads import thread_environment
from inference.node.children.spawning import spawn_worker

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from inference.node.children.spawning import Spawn

#: Nothing was loaded for this long: the start of a spare process holds up no load.
CALM_S = 5.0


class SpareWorker:
    """The spare process of a node, for models with ``n_threads`` threads."""

    def __init__(
        self,
        n_threads: int,
        *,
        spawn: Spawn = spawn_worker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._n_threads = n_threads
        self._spawn = spawn
        self._clock = clock
        self._calm_since = clock()
        self._waiting: Process | None = None

    async def spawn(self, n_threads: int) -> Process:
        """Return the spare process, or a new one. Raises OSError.

        Threads are set up when a process starts, so it may not be what a model needs.
        """
        self._calm_since = self._clock()
        waiting = self._waiting
        is_fit = thread_environment(n_threads) == thread_environment(self._n_threads)
        if waiting is not None and waiting.returncode is None and is_fit:
            self._waiting = None
            return waiting
        return await self._spawn(n_threads)

    async def look_after(self, *, is_loading: bool) -> None:
        """Start the spare process if there is none, and no model is being loaded.

        Raises OSError.
        """
        if is_loading:
            self._calm_since = self._clock()
        if self._clock() - self._calm_since < CALM_S:
            return
        if self._waiting is not None and self._waiting.returncode is not None:
            await self._forget()
        if self._waiting is None:
            self._calm_since = self._clock()
            self._waiting = await self._spawn(self._n_threads)

    async def close(self) -> None:
        """End the spare process."""
        if self._waiting is not None:
            with suppress(ProcessLookupError):
                self._waiting.kill()
            await self._forget()

    async def _forget(self) -> None:
        if self._waiting is not None:
            # Its pipes must be read to their end, or their transports stay open.
            await self._waiting.communicate()
            self._waiting = None
