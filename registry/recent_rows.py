"""Rows that every request asks for, believed for a second instead of read each time."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class RecentRows(Generic[_T]):
    """What ``read`` makes of a name, kept until the second is over.

    So a change is seen by every process within a second, and at once by the one that
    makes it, if ``forget`` hears of it. What ``read`` raises is not kept: what there
    was not may be there the next moment. At most ``size`` names are kept.

    Threads share what is returned, so nobody may change it.
    """

    def __init__(
        self,
        read: Callable[[str], _T],
        *,
        size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock

        @lru_cache(maxsize=size)
        def read_in(name: str, second: int) -> _T:
            return read(name)

        self._read_in = read_in

    def __call__(self, name: str) -> _T:
        """Return what there is by this name. Raises what ``read`` raises."""
        return self._read_in(name, int(self._clock()))

    def forget(self, **signal: Any) -> None:
        """Read everything anew; a receiver for Django's signals."""
        self._read_in.cache_clear()
