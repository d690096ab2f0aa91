"""Places for the coroutines of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llm_manager.lib.processes.fair_turns import FairTurns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FairPlaces:
    """A few places, of which one client has ``most`` at once; clients take turns.

    Used on one event loop only.
    """

    def __init__(self, places: int, *, most: int) -> None:
        self._free = places
        self._turns = FairTurns[asyncio.Future[None]](most)

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Wait for a place, and have it for the block."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.put(client, mine)
        self._give()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._take_back(client)
            else:
                self._turns.remove(client, mine)
            raise
        try:
            yield
        finally:
            self._take_back(client)

    def _give(self) -> None:
        """Give what is free to those whose turn it is."""
        while self._free and (client := next(self._turns.clients(), None)) is not None:
            self._free -= 1
            self._turns.take(client).set_result(None)

    def _take_back(self, client: str) -> None:
        self._free += 1
        self._turns.give_back(client)
        self._give()
