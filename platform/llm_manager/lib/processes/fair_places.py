"""Places for the coroutines of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FairPlaces:
    """A few places, of which one client has ``most`` at once; clients take turns.

    Used on one event loop only.
    """

    def __init__(self, places: int, *, most: int) -> None:
        self._free = places
        self._most = most
        #: The waiting by client; the first client's turn is next.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._held: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Wait for a place, and have it for the block."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(mine)
        self._give()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._take_back(client)
            else:
                self._forget(client, mine)
            raise
        try:
            yield
        finally:
            self._take_back(client)

    def _give(self) -> None:
        """Give what is free to those whose turn it is."""
        while self._free and (client := self._turn()) is not None:
            waiting = self._waiting.pop(client)
            first = waiting.popleft()
            if waiting:
                # The client's next turn comes after everybody else's.
                self._waiting[client] = waiting
            self._free -= 1
            self._held[client] += 1
            first.set_result(None)

    def _turn(self) -> str | None:
        for client in self._waiting:
            if self._held[client] < self._most:
                return client
        return None

    def _take_back(self, client: str) -> None:
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
        self._give()

    def _forget(self, client: str, waiter: asyncio.Future[None]) -> None:
        waiting = self._waiting[client]
        waiting.remove(waiter)
        if not waiting:
            del self._waiting[client]
