"""Starts processes that are killed when the launcher dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from llm_manager.launcher.children.life import Life
from llm_manager.lib.processes.parent_death import end_with_parent
from llm_manager.lib.processes.sign_of_life import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Spawned:
    """A running process, with the pipe on which it shows life if it has a clock.

    It leads its own group, so that Ctrl-C in a terminal reaches only the launcher, and
    so that its own children can be killed with it. Raises OSError.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int],
        environment: Mapping[str, str],
        life_clock: Callable[[], float] | None,
    ) -> None:
        self.life = None if life_clock is None else Life(life_clock)
        life_fds = () if self.life is None else (self.life.writer,)
        life_variables = {} if self.life is None else {VARIABLE: str(self.life.writer)}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                # Only the launcher itself writes to its stdout.
                stdout=2,
                pass_fds=(*pass_fds, *life_fds),
                env=os.environ | environment | life_variables,
                process_group=0,
                # So even a launcher that is killed leaves no process behind.
                preexec_fn=partial(end_with_parent, os.getpid()),
            )
        except BaseException:
            self._forget_life()
            raise
        finally:
            if self.life is not None:
                self.life.child_started()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def has_exited(self) -> bool:
        """Whether it has ended. Does not reap it."""
        if self._process.returncode is not None:
            return True
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is not None

    def terminate(self) -> None:
        """Send SIGTERM to the process, not to its group."""
        if not self.has_exited():
            self._process.terminate()

    def reap(self) -> int:
        """Kill what is left of the group, reap the process; return its status."""
        # Until the leader is reaped, no other process can have its id.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._forget_life()
        return status

    def _forget_life(self) -> None:
        if self.life is not None:
            self.life.close()
            self.life = None
