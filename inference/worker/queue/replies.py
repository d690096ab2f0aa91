"""Sends a worker's events to web processes, in frames that can be sent again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from inference.transport.codec import to_wire
from inference.transport.frame_sender import FrameSender

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis

    from inference.transport.messages.events import Event, Frame, LineState

logger = logging.getLogger(__name__)

#: Wait before using Redis again after it failed.
RETRY_S = 0.5


class Replies:
    """Sends the frames of one worker."""

    def __init__(self, layer: Any, incarnation: str) -> None:
        self._layer = layer
        self._frames = FrameSender(incarnation)
        self._has_events = asyncio.Event()

    def open(self, control: str) -> None:
        """Set the channel where the worker receives commands; before any event."""
        self._frames.control = control

    def put(self, reply_to: str, event: Event) -> None:
        """Send an event to a web process soon."""
        self._frames.put(reply_to, event)
        self._has_events.set()

    async def run(self, finished: asyncio.Event) -> None:
        """Send frames until the worker has finished, and then the rest.

        Events that arrive during a send share the next frame.
        """
        while not finished.is_set() or self._has_events.is_set():
            await self._has_events.wait()
            self._has_events.clear()
            for reply_to, frame in self._frames.take():
                await self._publish(reply_to, frame)

    def flush(self) -> None:
        """Let ``run`` send the rest and end."""
        self._has_events.set()

    def renew(self, reply_to: str) -> None:
        """Note that a web process is alive."""
        self._frames.renew(reply_to)

    async def send_state(self, reply_to: str, requests: Iterable[str]) -> None:
        """Send a web process the state of its line, and which requests are here."""
        await self._publish(reply_to, self._frames.state(reply_to, requests))

    async def resend(self, reply_to: str, seq: int, requests: Iterable[str]) -> None:
        """Send the frames from number ``seq`` on again, or the state if some are gone.

        The state says to the web process that it need not wait for them.
        """
        state = self._frames.state(reply_to, requests)
        if seq < state.kept_from:
            await self._publish(reply_to, state)
            return
        for frame in self._frames.sent_from(reply_to, seq):
            await self._publish(reply_to, frame)

    @property
    def has_leases(self) -> bool:
        """Whether web processes are known, whose leases are counted in beats."""
        return bool(self._frames.channels)

    async def beat(self, redis: Redis) -> set[str]:
        """Count a beat of the leases; return the web processes that are gone."""
        return set(self._frames.beat(await self._deaf(redis)))

    async def _deaf(self, redis: Redis) -> set[str]:
        """Return the web processes to whose channels nobody is subscribed."""
        channels = self._frames.channels
        if not channels:
            return set()
        try:
            counts = await redis.pubsub_numsub(*channels)
        except (OSError, RedisError):
            return set()
        return {channel.decode() for channel, count in counts if not count}

    async def _publish(self, reply_to: str, message: Frame | LineState) -> None:
        try:
            await self._layer.send(reply_to, to_wire(message))
        except (OSError, RedisError):
            # The frame is kept: the web process notices the gap and requests it.
            logger.warning("Redis is away; frames will be sent again")
            await asyncio.sleep(RETRY_S)
