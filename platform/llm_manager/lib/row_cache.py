"""Rows that every request needs, cached for one second."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_AGE_S = 1.0
#: A row is at hand if it is valid for longer than the event loop needs to use it.
_AT_HAND_S = 0.1
#: A row is believed for this long while the database cannot be read. Afterwards a key
#: that was revoked elsewhere must not open anything.
BELIEVED_S = 60.0


@dataclass(frozen=True, slots=True)
class _CachedRow(Generic[_T]):
    """A row that was read, or is being read, and the time until which it is valid."""

    read_at: float
    row: Future[_T] = field(default_factory=Future)


class RowCache(Generic[_T]):
    """Caches what ``read`` returns for a name, for one second.

    Every process sees a change within a second. The process that makes the change
    sees it at once, if ``clear`` is connected to the models' signals. Exceptions of
    ``read`` are not cached: the row may exist a moment later. While the database cannot
    be read, what was read in the last minute is still believed. When several threads
    need the same name at once, one reads and the others wait. Holds at most ``size``
    names.

    Threads share the returned object, so it must not be changed.
    """

    def __init__(
        self,
        read: Callable[[str], _T],
        *,
        size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._size = size
        self._clock = clock
        self._lock = Lock()
        self._rows: dict[str, _CachedRow[_T]] = {}

    def at_hand(self, name: str) -> _T | None:
        """Return the row if a call would not read it now; None if it might."""
        with self._lock:
            cached = self._rows.get(name)
        is_here = (
            cached is not None
            and cached.row.done()
            and cached.row.exception() is None
            and self._clock() < cached.read_at + MAX_AGE_S - _AT_HAND_S
        )
        return cached.row.result() if cached is not None and is_here else None

    def __call__(self, name: str) -> _T:
        """Return the row of this name. Raises what ``read`` raises."""
        while True:
            row, is_mine = self._row(name)
            try:
                return row.result()
            except SynchronousOnlyOperation:
                # Another caller is on an event loop, where nothing may be read.
                if is_mine:
                    raise

    def _row(self, name: str) -> tuple[Future[_T], bool]:
        """Return the row, and whether it was this call that read it."""
        now = self._clock()
        with self._lock:
            cached = before = self._rows.get(name)
            must_read = cached is None or now >= cached.read_at + MAX_AGE_S
            if cached is None or must_read:
                cached = self._put(name, _CachedRow(now))
        if must_read:
            try:
                cached.row.set_result(self._read(name))
            except OperationalError as error:
                self._believe(name, cached, before, error)
            except BaseException as error:
                self._replace(name, cached, None)
                cached.row.set_exception(error)
        return cached.row, must_read

    def _believe(
        self,
        name: str,
        cached: _CachedRow[_T],
        before: _CachedRow[_T] | None,
        error: OperationalError,
    ) -> None:
        """Return to the row that was read before, if that is not long ago."""
        is_known = (
            before is not None
            and before.row.done()
            and before.row.exception() is None
            and self._clock() < before.read_at + BELIEVED_S
        )
        if before is None or not is_known:
            self._replace(name, cached, None)
            cached.row.set_exception(error)
            return
        logger.warning("A row cannot be read; the last one is used: %s", error)
        self._replace(name, cached, before)
        cached.row.set_result(before.row.result())

    def clear(self, *, using: str | None = None, **signal: Any) -> None:
        """Remove every row; can be a receiver of Django's signals.

        Removes them again when the transaction on the database ``using`` commits:
        until then other connections read the old rows.
        """
        self._clear()
        if using is not None:
            transaction.on_commit(self._clear, using=using)

    def _clear(self) -> None:
        with self._lock:
            self._rows.clear()

    def _put(self, name: str, cached: _CachedRow[_T]) -> _CachedRow[_T]:
        # The newest is last, so the first is the oldest.
        self._rows.pop(name, None)
        if len(self._rows) >= self._size:
            del self._rows[next(iter(self._rows))]
        self._rows[name] = cached
        return cached

    def _replace(
        self, name: str, cached: _CachedRow[_T], other: _CachedRow[_T] | None
    ) -> None:
        """Put another row, or none, in the place of one."""
        with self._lock:
            if self._rows.get(name) is not cached:
                return
            if other is None:
                del self._rows[name]
            else:
                self._rows[name] = other
