"""Rows that every request needs, cached for one second."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, transaction

from llm_manager.lib.threads import with_live_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_manager.lib.processes.fair_threads import FairThreads

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_AGE_S = 1.0
#: A row is at hand if it is valid for longer than the event loop needs to use it.
_AT_HAND_S = 0.1
#: A row is believed for this long while the database cannot be read. Afterwards a key
#: that was revoked elsewhere must not open anything.
BELIEVED_S = 60.0
#: A database that stands still refuses nothing: after so long a row that is known is
#: used without its answer.
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class _KnownRow(Generic[_T]):
    """A row as it was read, and when."""

    read_at: float
    row: _T


@dataclass(frozen=True, slots=True)
class _CachedRow(Generic[_T]):
    """A row that was read, or is being read, and when; what was ``known`` before."""

    read_at: float
    known: _KnownRow[_T] | None = None
    row: Future[_T] = field(default_factory=Future)

    @property
    def is_here(self) -> bool:
        """Whether it was read."""
        return self.row.done() and self.row.exception() is None


class RowCache(Generic[_T]):
    """Caches what ``read`` returns for a name, for one second.

    Every process sees a change within a second. The process that makes the change
    sees it at once, if ``clear`` is connected to the models' signals. Exceptions of
    ``read`` are not cached: the row may exist a moment later. While the database cannot
    be read, or does not answer, what was read in the last minute is used.
    When several threads need the same name at once, one reads and the others wait.
    Holds at most ``size`` names.

    Threads share the returned object, so it must not be changed.
    """

    #: Read what is known already, so that a caller need not wait for a silent database.
    #: Without them each caller reads in its own thread.
    threads: ClassVar[FairThreads | None] = None
    #: Reads that somebody has waited for in vain, and that still go on.
    _late: ClassVar[set[Future[Any]]] = set()

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
        if cached is None or not cached.is_here:
            return None
        is_fresh = self._clock() < cached.read_at + MAX_AGE_S - _AT_HAND_S
        return cached.row.result() if is_fresh else None

    def __call__(self, name: str) -> _T:
        """Return the row of this name. Raises what ``read`` raises."""
        while True:
            cached, is_mine = self._row(name)
            known = cached.known
            try:
                if known is None or not self._is_believed(known):
                    return cached.row.result()
                return cached.row.result(0.0 if self._late else PATIENCE_S)
            except TimeoutError:
                if known is None or cached.row.done():
                    raise
                self._note_late(cached.row)
                return known.row
            except SynchronousOnlyOperation:
                # Another caller is on an event loop, where nothing may be read.
                if is_mine:
                    raise

    def _row(self, name: str) -> tuple[_CachedRow[_T], bool]:
        """Return the row, and whether it was this call that read it."""
        now = self._clock()
        with self._lock:
            cached = self._rows.get(name)
            if cached is not None and (
                now < cached.read_at + MAX_AGE_S or self._is_awaited(cached)
            ):
                return cached, False
            known = None
            if cached is not None and cached.is_here:
                known = _KnownRow(cached.read_at, cached.row.result())
            cached = self._put(name, _CachedRow(now, known))
        read = partial(self._read, name)
        if self.threads is None or known is None or _is_on_loop():
            self._fill(name, cached, read)
            return cached, True
        in_thread = partial(with_live_connection, read)
        self.threads.submit("rows", partial(self._fill, name, cached, in_thread))
        return cached, False

    def _is_awaited(self, cached: _CachedRow[_T]) -> bool:
        """Whether it is still being read, and nobody has to wait for that."""
        known = cached.known
        return not cached.row.done() and known is not None and self._is_believed(known)

    def _is_believed(self, known: _KnownRow[_T]) -> bool:
        return self._clock() < known.read_at + BELIEVED_S

    def _note_late(self, row: Future[_T]) -> None:
        if row not in self._late:
            logger.warning("The database does not answer; the last row is used")
            self._late.add(row)
            row.add_done_callback(self._late.discard)

    def _fill(self, name: str, cached: _CachedRow[_T], read: Callable[[], _T]) -> None:
        """Read a row, or return to what is known of it if that cannot be done."""
        try:
            cached.row.set_result(read())
        except OperationalError as error:
            self._believe(name, cached, error)
        except BaseException as error:
            self._replace(name, cached, None)
            cached.row.set_exception(error)

    def _believe(
        self, name: str, cached: _CachedRow[_T], error: OperationalError
    ) -> None:
        """Return to the row that was read before, if that is not long ago."""
        known = cached.known
        if known is None or not self._is_believed(known):
            self._replace(name, cached, None)
            cached.row.set_exception(error)
            return
        logger.warning("A row cannot be read; the last one is used: %s", error)
        before: _CachedRow[_T] = _CachedRow(known.read_at)
        before.row.set_result(known.row)
        self._replace(name, cached, before)
        cached.row.set_result(known.row)

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


def _is_on_loop() -> bool:
    """Whether an event loop runs in this thread, which must wait for no row."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
