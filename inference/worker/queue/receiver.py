"""Receives requests from a model's queue for one of its workers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from channels.exceptions import ChannelFull
from redis.exceptions import RedisError

from inference.transport.codec import NewerMessage, ProtocolError, from_wire
from inference.transport.queue import PATIENCE_ALONE_S, depth, put, take
from inference.worker.queue.replies import RETRY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.transport.messages.requests import QueuedRequest
    from inference.worker.queue.work_stealing import WorkStealing

logger = logging.getLogger(__name__)

#: How long a worker leaves the queue to others that can read what it cannot.
_YIELD_TO_NEWER_S = 0.2


class QueueReceiver:
    """Takes requests from the queue while it is open, and passes them to ``accept``.

    ``patience_s`` is how long Redis may still give one to this worker once it is cut
    off.
    """

    def __init__(
        self,
        layer: Any,
        queue: str,
        *,
        stealing: WorkStealing,
        accept: Callable[[QueuedRequest], None],
        patience_s: float = PATIENCE_ALONE_S,
    ) -> None:
        self._layer = layer
        self._queue = queue
        self._stealing = stealing
        self._accept = accept
        self._patience_s = patience_s
        self._is_open = asyncio.Event()

    def open(self) -> None:
        """Take requests from now on."""
        self._is_open.set()

    def close(self) -> None:
        """Take no more. A wait that has begun may still return a request."""
        self._is_open.clear()

    async def run(self) -> None:
        """Take requests forever."""
        while True:
            await self._is_open.wait()
            try:
                await self._stealing.let_others_choose()
                while self._is_open.is_set() and await self._may_take():
                    await self._take(self._queue, self._patience_s)
            except ProtocolError:
                logger.exception("A request of another version is dropped")
            except (OSError, RedisError):
                await asyncio.sleep(RETRY_S)

    async def take_own(self, queue: str) -> None:
        """Take the requests that were sent to this worker, as they come; forever.

        Also while it drains: then each is given back at once.
        """
        while True:
            try:
                await self._take(queue, PATIENCE_ALONE_S)
            except ProtocolError:
                logger.exception("A request of another version is dropped")
            except (OSError, RedisError):
                await asyncio.sleep(RETRY_S)

    async def _take(self, queue: str, patience_s: float) -> None:
        wire = await take(self._layer, queue, patience_s)
        try:
            queued = from_wire(wire)
        except NewerMessage as error:
            await self._leave_to_newer(wire, error)
        else:
            self._accept(queued)

    async def _leave_to_newer(self, wire: dict[str, Any], error: NewerMessage) -> None:
        """Put a request back that a worker of a later version can read."""
        now = time.time()
        # Every version writes it, so that a request does not go round for ever.
        if now > wire["deadline"]:
            return
        logger.warning("A request is left to a newer worker: %s", error)
        try:
            await put(self._layer, self._queue, wire, now)
        except ChannelFull:
            # Its web process sees that no worker has it, and queues it again.
            logger.warning("The queue is full; a request that is too new is dropped")
        await asyncio.sleep(_YIELD_TO_NEWER_S)

    async def _may_take(self) -> bool:
        """Whether to take a request, and whether to wait if the queue is empty."""
        if self._stealing.may_wait_at_queue:
            return True
        return await depth(self._layer, self._queue) > 0
