"""What the workers of the requested models say of themselves, as they say it.

The rows say what the engine processes last wrote. A worker whose heartbeat arrives
serves, whether or not its engine process or the database stand still. One whose
heartbeats do not arrive while those of another worker do cannot be reached: Redis and
this process are well.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from llm_manager.lib.clocks.awake_clock import LONGEST_STEP_AT_REST_S, AwakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.transport.messages.peers import WorkerHeartbeat

#: A worker says every second that it serves; after this much silence it may be gone.
_FRESH_S = 5.0
#: A worker that misses so many heartbeats in a row of another one cannot be reached.
_MISSED_BEATS = 4
#: After so many nobody asks any more.
_FORGOTTEN = 600


def _most(beats: Counter[str] | None) -> int:
    return max(beats.values(), default=0) if beats else 0


class WorkerHeartbeats:
    """The workers that say to this web process that they serve."""

    def __init__(
        self,
        layer: Any,
        *,
        on_begin: Callable[[], None] = lambda: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``on_begin`` is called when a worker says first that it serves."""
        self._layer = layer
        self._clock = clock or AwakeClock(longest_step_s=LONGEST_STEP_AT_REST_S)
        self._channel = ""
        self._heard_at: dict[str, dict[str, float]] = {}
        self._began_at: dict[str, float] = {}
        #: By worker: how many heartbeats of each other one came since its last.
        self._missed: dict[str, dict[str, Counter[str]]] = {}
        self._on_begin = on_begin
        self._changed = asyncio.Event()

    def open(self, channel: str) -> None:
        """Set the channel of this web process, where heartbeats arrive."""
        self._channel = channel
        self._heard_at.clear()
        self._missed.clear()

    async def follow(self, queue: str) -> None:
        """Receive the heartbeats of the workers of this queue from now on.

        Raises OSError or redis.exceptions.RedisError.
        """
        if queue not in self._heard_at:
            await self._layer.group_add(queue, self._channel)
            self._heard_at[queue] = {}

    def put(self, heartbeat: WorkerHeartbeat) -> None:
        """Note that a worker serves, or no longer."""
        workers = self._heard_at.setdefault(heartbeat.queue, {})
        if heartbeat.is_leaving:
            workers.pop(heartbeat.incarnation, None)
            self._missed.get(heartbeat.queue, {}).pop(heartbeat.incarnation, None)
            return
        if heartbeat.incarnation not in workers:
            self._began_at[heartbeat.queue] = time.time()
            self._on_begin()
        workers[heartbeat.incarnation] = self._clock()
        self._count(heartbeat)
        self._changed.set()

    def _count(self, heartbeat: WorkerHeartbeat) -> None:
        missed = self._missed.setdefault(heartbeat.queue, {})
        for beats in missed.values():
            beats[heartbeat.incarnation] += 1
        missed[heartbeat.incarnation] = Counter()
        for incarnation in [w for w, by in missed.items() if _most(by) > _FORGOTTEN]:
            del missed[incarnation]

    def is_unreachable(self, queue: str, incarnation: str) -> bool:
        """Whether another worker of a queue was heard again and again, and not this."""
        return _most(self._missed.get(queue, {}).get(incarnation)) >= _MISSED_BEATS

    def serving(self, queue: str) -> frozenset[str]:
        """Return the incarnations of the workers of a queue that serve now."""
        workers = self._heard_at.get(queue, {})
        limit = self._clock() - _FRESH_S
        for incarnation in [name for name, at in workers.items() if at < limit]:
            del workers[incarnation]
        return frozenset(workers)

    def began_at(self, queue: str) -> float:
        """Return when the newest worker of a queue said first that it serves.

        In seconds since the epoch; 0 if none has.
        """
        return self._began_at.get(queue, 0.0)

    async def wait(self, queue: str, *, timeout_s: float) -> frozenset[str]:
        """Return the workers of a queue that serve, as soon as there is one.

        Returns none after ``timeout_s``.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.follow(queue)
                while not self.serving(queue):
                    self._changed.clear()
                    await self._changed.wait()
        except (TimeoutError, OSError, RedisError):
            return frozenset()
        return self.serving(queue)
