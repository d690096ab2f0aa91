"""A program on a terminal of its own, as a user sees it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE_S = 60.0
#: What a terminal obeys and does not show: bracketed paste, colours, the cursor.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What is typed into a program, and what it has shown since then."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        #: All that was shown, and how much of it was waited for.
        self.shown = ""
        self._seen = 0

    def type(self, text: str) -> None:
        """Type text; `\\x03` is Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Wait until what was not waited for yet matches; return it up to there."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} is not in {self.shown!r}")
        text = self.shown[self._seen : found.end()]
        self._seen = found.end()
        return text

    def wait(self) -> int:
        """Wait until the program ends; return its exit status."""
        while self._read(_PATIENCE_S):
            pass
        return self.process.wait(_PATIENCE_S)

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(timeout_s, 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # Linux reports the end of a terminal's other side as an error.
            return False
        self.shown += _CONTROL.sub("", data.decode("utf-8", "replace"))
        return bool(data)


@contextmanager
def on_terminal(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run a program on a terminal; it does not outlive the context."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm"},
        start_new_session=True,
        # Ctrl-C reaches the program whose terminal this is.
        preexec_fn=_take_terminal,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
