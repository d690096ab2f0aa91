"""A child process: restarted when it exits, killed when the launcher dies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from llm_manager.launcher.life import Life
from llm_manager.lib.clocks.awake_clock import AwakeClock
from llm_manager.lib.processes.sign_of_life import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BACKOFF_FIRST_S = 0.25
BACKOFF_LIMIT_S = 30.0
#: After a run of this length, the next restart has the first delay again.
STABLE_S = 60.0

_PR_SET_PDEATHSIG = 1


def say(sentence: str) -> None:
    """Print a sentence to stderr."""
    # The terminal may be gone; that is no reason to stop.
    with contextlib.suppress(OSError):
        print(f"llm-manager: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


class ChildProcess:
    """A command that is kept running.

    Its process leads its own group, so that Ctrl-C in a terminal reaches only the
    launcher, and so that its own children can be killed with it. ``environment`` is
    added to the launcher's own. One that has shown life and then none for
    ``silent_after_s`` hangs.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        silent_after_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.pass_fds = tuple(pass_fds)
        self._environment = environment or {}
        #: Exits in a row, without a stable run in between.
        self.exits = 0
        self._silent_after_s = silent_after_s
        self._clock = clock
        self._awake = AwakeClock(clock=clock)
        self._life: Life | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process. Raises OSError."""
        self._started_at = self._clock()
        life = None if self._silent_after_s is None else Life(self._awake)
        life_fds = () if life is None else (life.writer,)
        life_variables = {} if life is None else {VARIABLE: str(life.writer)}
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                # Only the launcher itself writes to its stdout.
                stdout=2,
                pass_fds=(*self.pass_fds, *life_fds),
                env=os.environ | self._environment | life_variables,
                process_group=0,
                preexec_fn=_die_with_parent(),
            )
        finally:
            if life is not None:
                life.child_started()
                self._forget_life()
                self._life = life

    @property
    def silent_s(self) -> float | None:
        """Seconds since its last sign of life; None if it does not show any."""
        return None if self._life is None else self._life.silent_s

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for too long."""
        silent_s = self.silent_s
        limit = self._silent_after_s
        return silent_s is not None and limit is not None and silent_s > limit

    def end_hanging(self) -> None:
        """Kill the process and its group; ``supervise`` starts it again."""
        self._reap()
        self._back_off(f"{self.name} did not answer for {self._silent_after_s:g} s")

    def supervise(self) -> float | None:
        """Reap the process if it has exited, and restart it when the delay is over.

        Returns the seconds until the restart, or None while it runs.
        """
        if self._process is not None:
            if not self.has_exited():
                return None
            how = self._reap()
            if self._clock() - self._started_at >= STABLE_S:
                self.exits = 0
            self._back_off(f"{self.name} exited ({how})")
        remaining = self._restart_at - self._clock()
        if remaining > 0:
            return remaining
        try:
            self.start()
        except OSError as error:
            self._back_off(f"{self.name} cannot be started ({error.strerror})")
            return self._restart_at - self._clock()
        return None

    def has_exited(self) -> bool:
        """Whether no process runs. Does not reap an exited one."""
        if self._process is None:
            return True
        if self._process.returncode is not None:
            return True
        ended = os.waitid(
            os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        )
        return ended is not None

    def terminate(self) -> None:
        """Send SIGTERM to the process, not to its group."""
        if self._process is not None and not self.has_exited():
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and its group now."""
        if self._process is not None:
            self._reap()

    def _back_off(self, what: str) -> None:
        delay = min(BACKOFF_FIRST_S * 2**self.exits, BACKOFF_LIMIT_S)
        self.exits += 1
        self._restart_at = self._clock() + delay
        say(f"{what}; restarting it in {delay:g} s.")

    def _forget_life(self) -> None:
        if self._life is not None:
            self._life.close()
            self._life = None

    def _reap(self) -> str:
        """Kill the rest of the group, reap the process, and return how it exited."""
        process = self._process
        assert process is not None  # noqa: S101  # checked by both callers
        # Until the leader is reaped, no other process can have its id.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        self._process = None
        self._forget_life()
        if status < 0:
            return f"killed by signal {-status}"
        return f"exit status {status}"


def _die_with_parent() -> Callable[[], None] | None:
    """Return a function for the new process: it asks to be killed with its parent.

    So even a launcher that is killed leaves no process behind.
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
