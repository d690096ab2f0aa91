"""How many MCP servers are asked at once, and for whom.

A server may let its caller wait for as long as a call may take: who calls slow ones
must leave places to others.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Of a web process, and of one caller among them.
_ALL, _OF_ONE = 32, 8


@dataclass(slots=True)
class _Own:
    places: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_OF_ONE)
    )
    users: int = 0


class McpPlaces:
    """The places of a web process; each caller has only some of them at once."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(_ALL)
        self._own: dict[str, _Own] = {}

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place, and keep it during the block."""
        own = self._own.setdefault(caller, _Own())
        own.users += 1
        try:
            async with own.places, self._all:
                yield
        finally:
            own.users -= 1
            if not own.users:
                del self._own[caller]
