"""The parent's end of one process that renders templates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from inference.prompts.rendering.frames import PipeClosed, read_frame, write_frame
from llm_manager.lib.processes.python_path import python_path

#: The longest that a job may take by the clock. The processor's time is limited much
#: closer; more than that passes only while the machine is paused or very busy.
_WALL_SECONDS = 30.0
#: What the child gets of the environment: nothing that could be a secret.
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")


class RenderProcessEnded(Exception):
    """The process has ended during a job; ``is_limit``: for what the template did."""

    def __init__(self, *, is_limit: bool) -> None:
        super().__init__("the process ended")
        self.is_limit = is_limit


class RenderProcess:
    """A child process that does one job at a time. Not safe for several threads."""

    def __init__(self) -> None:
        """Start it; it takes its first job when Python is up, after some 0.1 s."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment["PYTHONPATH"] = python_path()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inference.prompts.rendering.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdin is not None  # noqa: S101 - started with pipes
        assert self._process.stdout is not None  # noqa: S101 - started with pipes
        self._jobs = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        for fd in (self._jobs, self._answers):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.returncode is None

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a job. Raises RenderProcessEnded; it is then of no use.

        Whoever asks closes it after an exception.
        """
        deadline = time.monotonic() + _WALL_SECONDS
        try:
            write_frame(self._jobs, job, deadline=deadline)
            answer = read_frame(self._answers, deadline=deadline)
        except (PipeClosed, TimeoutError, ValueError):
            self.close()
            is_limit = self._process.returncode == -signal.SIGPROF
            raise RenderProcessEnded(is_limit=is_limit) from None
        if not isinstance(answer, dict):
            self.close()
            raise RenderProcessEnded(is_limit=False)
        return answer

    def close(self) -> None:
        """End it. Idempotent."""
        if self._process.returncode is None:
            # One that has ended by itself keeps its own exit status.
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
