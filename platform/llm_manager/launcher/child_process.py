"""One child process: it dies with the launcher, and is restarted when it dies first."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BACKOFF_FIRST_S = 0.25
BACKOFF_LIMIT_S = 30.0
#: A child that ran this long starts again from the first delay.
STABLE_S = 60.0

_PR_SET_PDEATHSIG = 1


def say(sentence: str) -> None:
    """Tell the operator one thing, on stderr."""
    # The terminal may be gone by now, which stops nothing.
    with contextlib.suppress(OSError):
        print(f"llm-manager: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


class ChildProcess:
    """A command that is kept running.

    Its process leads a group of its own, so that a terminal's Ctrl-C reaches
    only the launcher, and so that whatever it started goes when it goes.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.pass_fds = tuple(pass_fds)
        #: Deaths in a row, with no stable run in between.
        self.deaths = 0
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process, or None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process. Raises OSError."""
        self._started_at = self._clock()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            # The launcher's stdout is for what it prints itself.
            stdout=2,
            pass_fds=self.pass_fds,
            process_group=0,
            preexec_fn=_die_with_parent(),
        )

    def tend(self) -> float | None:
        """Reap the process if it has ended, start it again when that is due.

        Returns the seconds until there is something to do, or None while it runs.
        """
        if self._process is not None:
            if not self.has_ended():
                return None
            how = self._reap()
            if self._clock() - self._started_at >= STABLE_S:
                self.deaths = 0
            self._back_off(f"{self.name} ended ({how})")
        remaining = self._restart_at - self._clock()
        if remaining > 0:
            return remaining
        try:
            self.start()
        except OSError as error:
            self._back_off(f"{self.name} cannot be started ({error.strerror})")
            return self._restart_at - self._clock()
        return None

    def has_ended(self) -> bool:
        """Whether no process runs; an ended one is left to be reaped."""
        if self._process is None:
            return True
        if self._process.returncode is not None:
            return True
        ended = os.waitid(
            os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        )
        return ended is not None

    def terminate(self) -> None:
        """Ask the process, not its group, to end."""
        if self._process is not None and not self.has_ended():
            self._process.terminate()

    def kill(self) -> None:
        """End the process and all that it started, now."""
        if self._process is not None:
            self._reap()

    def _back_off(self, what: str) -> None:
        delay = min(BACKOFF_FIRST_S * 2**self.deaths, BACKOFF_LIMIT_S)
        self.deaths += 1
        self._restart_at = self._clock() + delay
        say(f"{what}; starting it again in {delay:g} s.")

    def _reap(self) -> str:
        """Kill what is left of the group, collect the process, say how it ended."""
        process = self._process
        assert process is not None  # noqa: S101  # both callers have looked
        # Before the leader is reaped its number cannot belong to anyone else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        self._process = None
        if status < 0:
            return f"killed by signal {-status}"
        return f"exit status {status}"


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a new process does first: ask to be killed when its parent dies.

    Also a launcher that is killed itself leaves nothing behind.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above.
        if os.getppid() != parent:
            os._exit(1)

    return prepare
