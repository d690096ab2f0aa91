"""Keys that were not seen before are checked one at a time for an address.

A wrong key costs more than a right one: it is looked up in the database, and counted in
Redis. Whoever tries many at once must not hold up those who have a key. The sessions of
pages are checked as keys are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from accounts.errors import (
    InvalidApiKey,
    RateLimited,
    SessionEnded,
    TooManyUnknownKeys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How long an address's turn lasts after a wrong key: ten wrong keys in a second. That
#: is less than a tenth of what one web process answers.
WRONG_KEY_S = 0.1
#: How many may wait for their turn: the last one waits six seconds.
MAX_WAITING = 64
#: More keys than are in use at once.
_MAX_KNOWN = 4096
#: No key is longer.
_MAX_LENGTH = 256


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class UnknownKeys:
    """Remembers which keys were right, and lets the others take turns by address.

    A remembered key may have been revoked: it is checked as all are, only without a
    turn. Used on one event loop.
    """

    def __init__(self, *, wrong_key_s: float = WRONG_KEY_S) -> None:
        self._wrong_key_s = wrong_key_s
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def checking(self, text: str | None, address: str) -> AsyncIterator[None]:
        """Enclose the check of a key; wait before it if the key is new.

        Raises TooManyUnknownKeys.
        """
        if text is None or self.is_known(text):
            yield
            return
        turn = self._turns.setdefault(address, _Turn())
        if turn.waiting >= MAX_WAITING:
            raise TooManyUnknownKeys
        turn.waiting += 1
        try:
            async with turn.lock:
                started = time.monotonic()
                try:
                    yield
                except (InvalidApiKey, RateLimited, SessionEnded):
                    spent = time.monotonic() - started
                    await asyncio.sleep(max(self._wrong_key_s - spent, 0))
                    raise
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(address, None)
        self._remember(text)

    def is_known(self, text: str) -> bool:
        """Whether a key was right when it was checked last."""
        return len(text) <= _MAX_LENGTH and _digest(text) in self._known

    def _remember(self, text: str) -> None:
        self._known[_digest(text)] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


#: Those of this process.
unknown_keys = UnknownKeys()
