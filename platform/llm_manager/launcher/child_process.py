"""A child process: restarted when it exits, killed when the launcher dies."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from llm_manager.launcher.children.spare import Spare
from llm_manager.launcher.children.spawning import Spawned
from llm_manager.lib.clocks.awake_clock import LONGEST_STEP_AT_REST_S, AwakeClock
from llm_manager.lib.processes.time_slices import run_soon

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BACKOFF_FIRST_S = 0.25
BACKOFF_LIMIT_S = 30.0
#: After a run of this length, the next restart has the first delay again.
STABLE_S = 60.0
#: A process that has run for this long gets a spare: the start of one does not hold up
#: that of the other, and one that keeps exiting gets none.
SPARE_AFTER_S = 10.0


def say(sentence: str) -> None:
    """Print a sentence to stderr."""
    # The terminal may be gone; that is no reason to stop.
    with contextlib.suppress(OSError):
        print(f"llm-manager: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


class ChildProcess:
    """A command that is kept running.

    ``environment`` is added to the launcher's own. One that has shown life and then
    none for ``silent_after_s`` hangs. ``has_spare``: another one waits to take its
    place, and is started for it once it has run for a while. ``runs_soon``: others wait
    for each of its answers.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        silent_after_s: float | None = None,
        has_spare: bool = False,
        runs_soon: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.pass_fds = tuple(pass_fds)
        self._environment = environment or {}
        #: Exits in a row, without a stable run in between.
        self.exits = 0
        self._silent_after_s = silent_after_s
        self._runs_soon = runs_soon
        self._clock = clock
        self._awake = AwakeClock(longest_step_s=LONGEST_STEP_AT_REST_S, clock=clock)
        self._process: Spawned | None = None
        self._spare = Spare(self._spawn) if has_spare else None
        self._started_at = 0.0
        self._spare_at = 0.0
        self._restart_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process, or let its spare go on. Raises OSError."""
        self._started_at = self._clock()
        spare = self._spare.take() if self._spare is not None else None
        self._process = spare or self._spawn((), {})
        if self._runs_soon:
            run_soon(self._process.pid)

    def _spawn(self, fds: tuple[int, ...], variables: dict[str, str]) -> Spawned:
        return Spawned(
            self.command,
            pass_fds=(*self.pass_fds, *fds),
            environment={**self._environment, **variables},
            life_clock=None if self._silent_after_s is None else self._awake,
        )

    @property
    def silent_s(self) -> float | None:
        """Seconds since its last sign of life; None if it does not show any."""
        life = self._process.life if self._process is not None else None
        return None if life is None else life.silent_s

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
                self._prepare_spare()
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
        return self._process is None or self._process.has_exited()

    def terminate(self) -> None:
        """Send SIGTERM to the process, not to its group; its spare ends at once."""
        if self._spare is not None:
            self._spare.end()
            self._spare = None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and its group now."""
        self.terminate()
        if self._process is not None:
            self._reap()

    @property
    def has_spare_waiting(self) -> bool:
        """Whether another process waits to take its place."""
        return self._spare is not None and self._spare.is_there

    def _prepare_spare(self) -> None:
        """Start the spare of a process that has run for a while."""
        if self._spare is None or self._spare.is_there:
            return
        # One that does not start is not tried again and again.
        if self._clock() - max(self._started_at, self._spare_at) < SPARE_AFTER_S:
            return
        self._spare_at = self._clock()
        try:
            self._spare.prepare()
        except OSError as error:
            say(f"{self.name} has no spare process: {error.strerror}.")

    def _back_off(self, what: str) -> None:
        if self.has_spare_waiting:
            # There is one only after a long run, so nothing exits again and again.
            self._restart_at = self._clock()
            say(f"{what}; its spare process takes over.")
            return
        delay = min(BACKOFF_FIRST_S * 2**self.exits, BACKOFF_LIMIT_S)
        self.exits += 1
        self._restart_at = self._clock() + delay
        say(f"{what}; restarting it in {delay:g} s.")

    def _reap(self) -> str:
        """Kill the rest of the group, reap the process, and return how it exited."""
        assert self._process is not None  # noqa: S101  # checked by both callers
        status = self._process.reap()
        self._process = None
        if status < 0:
            return f"killed by signal {-status}"
        return f"exit status {status}"
