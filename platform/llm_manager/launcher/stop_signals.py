"""Counts the signals that stop the launcher; a sleep that signals interrupt."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A stop signal arrived during the start."""


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP while it is entered, in the main thread.

    While ``raising`` is True, the first one also raises StopRequested in the main
    thread, so that a start-up that waits for a database can be interrupted.
    """

    def __init__(self) -> None:
        self.count = 0
        self.raising = False
        self._restore: list[tuple[int, Any]] = []

    def __enter__(self) -> StopSignals:
        # Python writes a byte to the pipe for every handled signal, also between the
        # check of ``count`` and the sleep: none is missed.
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for signum in _STOP_SIGNALS:
            # Under nohup SIGHUP stays ignored.
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                self._restore.append((signum, signal.signal(signum, self._stop)))
        # Only to wake up: the waiting code then checks which child has exited.
        self._restore.append(
            (signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda *_: None))
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for signum, handler in self._restore:
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_s: float | None, readable: Sequence[int] = ()) -> None:
        """Sleep until a signal arrives, a child exits, or a descriptor is readable."""
        select.select([self._reader, *readable], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.raising:
            # Only once: a second signal must not interrupt the stopping.
            self.raising = False
            raise StopRequested
