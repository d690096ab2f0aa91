"""Rows that every request asks for, believed for a second instead of read each time."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

BELIEVED_S = 1.0


@dataclass(frozen=True, slots=True)
class _Kept(Generic[_T]):
    """What was read, or is being read, and until when it is believed."""

    until: float
    row: Future[_T] = field(default_factory=Future)


class RecentRows(Generic[_T]):
    """What ``read`` makes of a name, believed for a second.

    So a change is seen by every process within a second, and at once by the one that
    makes it, if ``forget`` hears of it. What ``read`` raises is not kept: what there
    was not may be there the next moment. Of threads that ask for the same name at
    once, one reads and the others wait. At most ``size`` names are kept.

    Threads share what is returned, so nobody may change it.
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
        self._rows: dict[str, _Kept[_T]] = {}

    def __call__(self, name: str) -> _T:
        """Return what there is by this name. Raises what ``read`` raises."""
        now = self._clock()
        with self._lock:
            kept = self._rows.get(name)
            if kept is not None and now < kept.until:
                is_mine = False
            else:
                is_mine = True
                kept = self._keep(name, _Kept(now + BELIEVED_S))
        if is_mine:
            try:
                kept.row.set_result(self._read(name))
            except BaseException as error:
                self._drop(name, kept)
                kept.row.set_exception(error)
        return kept.row.result()

    def forget(self, *, using: str | None = None, **signal: Any) -> None:
        """Read everything anew; a receiver for Django's signals.

        Once more when the transaction on the database ``using`` is over: until then
        others read what was there before.
        """
        self._clear()
        if using is not None:
            transaction.on_commit(self._clear, using=using)

    def _clear(self) -> None:
        with self._lock:
            self._rows.clear()

    def _keep(self, name: str, kept: _Kept[_T]) -> _Kept[_T]:
        # The newest come last, so that the oldest goes first.
        self._rows.pop(name, None)
        if len(self._rows) >= self._size:
            del self._rows[next(iter(self._rows))]
        self._rows[name] = kept
        return kept

    def _drop(self, name: str, kept: _Kept[_T]) -> None:
        with self._lock:
            if self._rows.get(name) is kept:
                del self._rows[name]
