"""Connections that have not proved anything yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import StreamWriter
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

_MOST = 32


class Strangers:
    """Lets a few strangers prove at once what they know, each within a time."""

    def __init__(self, *, within_s: float) -> None:
        self._within_s = within_s
        self._num = 0

    async def admitted(self, greet: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Return what ``greet`` makes of one; None if there are too many.

        Raises TimeoutError, and what ``greet`` raises.
        """
        if self._num >= _MOST:
            return None
        self._num += 1
        try:
            async with asyncio.timeout(self._within_s):
                return await greet()
        finally:
            self._num -= 1


def peer(writer: StreamWriter) -> str:
    """Return the address at the other end, for logs."""
    found = writer.get_extra_info("peername")
    return str(found[0]) if found else "nowhere"
