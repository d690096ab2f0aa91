"""Sends a worker's reports to its node, and never waits for it."""

from __future__ import annotations

import asyncio
import os
import stat


class ReportPipe:
    """The pipe to the node's engine process.

    An engine process that stands still does not read, and soon the pipe is full. The
    worker serves on: of the reports that do not fit, only the newest is kept.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        #: The rest of a line whose beginning is in the pipe.
        self._unsent = b""
        self._newest = b""
        self._sent = asyncio.Event()
        os.set_blocking(descriptor, False)

    def send(self, line: str) -> None:
        """Send a line as soon as the pipe has room, unless a newer one comes first."""
        self._newest = line.encode()
        self._write()

    async def flush(self, timeout_s: float) -> None:
        """Return when all is sent, or after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._unsent or self._newest:
                    self._sent.clear()
                    await self._sent.wait()
        except TimeoutError:
            pass

    def _write(self) -> None:
        try:
            while self._unsent or self._newest:
                if not self._unsent:
                    self._unsent, self._newest = self._newest, b""
                written = os.write(self._descriptor, self._unsent)
                self._unsent = self._unsent[written:]
        except BlockingIOError:
            self._loop.add_writer(self._descriptor, self._write)
            return
        except OSError:
            # The engine process is gone: the end of standard input says so, too.
            self._unsent = self._newest = b""
        self._loop.remove_writer(self._descriptor)
        self._sent.set()


def never_wait_for_a_reader(descriptor: int) -> None:
    """Let writes to a pipe fail that would wait: a line of the log is lost then."""
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.set_blocking(descriptor, False)
