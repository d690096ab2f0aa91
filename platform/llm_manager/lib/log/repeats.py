"""Limits what a fault that repeats writes to the log."""

from __future__ import annotations

import logging
import threading
import time
from traceback import walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where a record comes from; the type of its exception, and where that was raised.
_Fault = tuple[str, int, type[BaseException] | None, str, int]

#: Of records of one fault, this many are written in a window.
_MOST = 3
_WINDOW_S = 30.0


class WithoutTraceback(logging.Filter):
    """Writes what went wrong in one line, where the traceback says nothing more."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the exception into the message."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg = f"{record.getMessage()}: {error}"
            record.args, record.exc_info = (), None
        return True


class RepeatLimit(logging.Filter):
    """Lets the first records of one fault through, and counts the rest.

    A fault is a warning or error of one place in the code, and the exception that it
    reports: one place, as the API's handler of exceptions, may report many.

    A full disk or a database that is away makes hundreds of the same lines a second,
    which fill the disk or hide the cause. The first record of the next window says how
    many were left out. Records below warnings are no faults, and not limited.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        #: When the window of a fault began, and how many records it has had.
        self._windows: dict[_Fault, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if record.levelno < logging.WARNING:
            return True
        fault = _fault_of(record)
        with self._lock:
            began, count = self._windows.get(fault, (self._clock(), 0))
            left_out = 0
            if self._clock() - began >= _WINDOW_S:
                left_out = max(count - _MOST, 0)
                began, count = self._clock(), 0
            self._windows[fault] = began, count + 1
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} more like it)"
            record.args = ()
        return count < _MOST


def _fault_of(record: logging.LogRecord) -> _Fault:
    error = record.exc_info[1] if record.exc_info else None
    if error is None and isinstance(record.args, tuple):
        # Also where only its sentence is written.
        error = next((x for x in record.args if isinstance(x, BaseException)), None)
    kind = None if error is None else type(error)
    raised = "", 0
    for frame, line in walk_tb(error.__traceback__ if error else None):
        raised = frame.f_code.co_filename, line
    return record.pathname, record.lineno, kind, *raised
