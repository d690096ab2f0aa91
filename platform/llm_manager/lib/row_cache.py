"""Rows that every request needs, cached for one second."""

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

MAX_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class _CachedRow(Generic[_T]):
    """A row that was read, or is being read, and the time until which it is valid."""

    expires_at: float
    row: Future[_T] = field(default_factory=Future)


class RowCache(Generic[_T]):
    """Caches what ``read`` returns for a name, for one second.

    Every process sees a change within a second. The process that makes the change
    sees it at once, if ``clear`` is connected to the models' signals. Exceptions of
    ``read`` are not cached: the row may exist a moment later. When several threads
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

    def __call__(self, name: str) -> _T:
        """Return the row of this name. Raises what ``read`` raises."""
        now = self._clock()
        with self._lock:
            cached = self._rows.get(name)
            must_read = cached is None or now >= cached.expires_at
            if cached is None or must_read:
                cached = self._put(name, _CachedRow(now + MAX_AGE_S))
        if must_read:
            try:
                cached.row.set_result(self._read(name))
            except BaseException as error:
                self._remove(name, cached)
                cached.row.set_exception(error)
        return cached.row.result()

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

    def _remove(self, name: str, cached: _CachedRow[_T]) -> None:
        with self._lock:
            if self._rows.get(name) is cached:
                del self._rows[name]
