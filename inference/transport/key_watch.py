"""Ends the streams of API keys that were revoked, deleted or restricted, or expired."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from accounts.keys.live_keys import LiveKeys
from inference.engine.request import GenerationRequest, PoolingRequest
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from accounts.keys.live_keys import KeyUse
    from inference.transport.stream import Stream
    from inference.transport.streams import Streams

logger = logging.getLogger(__name__)

#: A request ends within a second of its key, whichever process heard of it first.
_LOOK_EVERY_S = 0.6


class KeyWatch:
    """Looks at the keys of one web process's streams, running and waiting.

    ``close`` gives a stream up.
    """

    def __init__(
        self, streams: Streams, *, close: Callable[[Stream], Awaitable[None]]
    ) -> None:
        self._streams = streams
        self._close = close
        self._live = LiveKeys()
        self._is_failing = False

    async def run(self) -> None:
        """Look at the keys forever."""
        while True:
            await self._streams.some()
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
                self._is_failing = False
            except Exception:
                # Most likely the database: the streams go on, and the next look may
                # succeed.
                if not self._is_failing:
                    logger.exception("The keys of running requests cannot be checked")
                self._is_failing = True

    async def _look(self) -> None:
        uses = {use for stream in self._streams if (use := _use_of(stream))}
        if not uses:
            return
        ended = await in_thread(self._live.ended, uses)
        for stream in self._streams:
            use = _use_of(stream)
            if use in ended and not stream.is_done:
                await self._close(stream)
                stream.fail(ended[use])


def _use_of(stream: Stream) -> KeyUse | None:
    """Return the key of a stream and its model; None if it has no key."""
    request = stream.request
    if not isinstance(request, GenerationRequest | PoolingRequest):
        return None
    # Without a key, a request counts towards its address.
    if not request.key or request.key.startswith("ip:"):
        return None
    return request.key, stream.queue.model_id
