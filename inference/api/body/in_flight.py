"""How many bytes of bodies a web process holds at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import cache

from django.conf import settings

from inference.api.errors import ServerBusy

#: The first bytes of each body are free, so that no large body keeps a small one out.
FREE_BYTES = 64 * 1024
#: A large body waits for so long for others before it is refused. To refuse it at once
#: costs more than to wait: who sends it sends it again.
PATIENCE_S = 1.0
_MIB = 1024 * 1024


class BodyBudget:
    """Bounds the bytes of bodies that are being read, parsed and checked.

    ``limit`` is for all clients, ``share`` for one: no client can keep all others out.
    Used on the event loop only.
    """

    def __init__(self, *, limit: int, share: int) -> None:
        self._limit = limit
        self._share = share
        self._held = 0
        self._by_client: Counter[str] = Counter()
        #: What the bodies that have begun will come to.
        self._expected: Counter[str] = Counter()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def held(self) -> int:
        """The bytes that are held now, without the free ones."""
        return self._held

    async def begin(self, client: str, size: int) -> None:
        """Wait until a body of this size has room, before any of it is read.

        Bodies of the same client that are still coming in count as a whole, or all of
        them would be refused halfway; after ``PATIENCE_S`` only what has come counts.
        To be followed by ``end`` unless it raises ServerBusy.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while not self._has_room(client, size) and loop.time() < until:
            released = loop.create_future()
            self._waiting.add(released)
            try:
                await asyncio.wait([released], timeout=until - loop.time())
            finally:
                self._waiting.discard(released)
        more = max(size - FREE_BYTES, 0)
        self._check(client, more)
        self._expected[client] += more

    def end(self, client: str, size: int) -> None:
        """Note that a body of this size is not coming in any more."""
        self._expected[client] -= max(size - FREE_BYTES, 0)
        if not self._expected[client]:
            del self._expected[client]
        self._wake()

    def _has_room(self, client: str, size: int) -> bool:
        more = max(size - FREE_BYTES, 0)
        if more and self._expected[client] + more > self._share:
            return False
        return self._why_not(client, more) is None

    def _check(self, client: str, more: int) -> None:
        """Refuse bytes that have no room now. Raises ServerBusy."""
        if (why_not := self._why_not(client, more)) is not None:
            raise ServerBusy(why_not)

    def _why_not(self, client: str, more: int) -> str | None:
        """Return why bytes beyond the free ones have no room now, None if they do."""
        if more and self._by_client[client] + more > self._share:
            return (
                "As many large bodies of this key are being read as may be at once. "
                "Send them one after another."
            )
        if more and self._held + more > self._limit:
            return (
                "As many large bodies are being read as may be at once. Try again soon."
            )
        return None

    def hold(self, client: str, size: int) -> None:
        """Note bytes beyond the free ones. Raises ServerBusy."""
        self._check(client, size)
        self._held += size
        self._by_client[client] += size

    def release(self, client: str, size: int) -> None:
        """Give bytes back."""
        self._held -= size
        self._by_client[client] -= size
        if not self._by_client[client]:
            del self._by_client[client]
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


@cache
def body_budget() -> BodyBudget:
    """Return this process's budget."""
    limits = settings.CONFIG.limits
    largest = limits.max_body_mb * _MIB
    limit = max(limits.max_bodies_mb * _MIB or 4 * largest, largest)
    return BodyBudget(limit=limit, share=max(limit // 2, largest))
