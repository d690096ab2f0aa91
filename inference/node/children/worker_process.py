"""The engine's side of one worker process: start, read reports, drain, end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from inference.node.children.spawning import spawn_worker
from inference.worker.node_pipe import (
    Drain,
    WorkerReport,
    WorkerSpec,
    drain_to_line,
    report_from_line,
    spec_to_line,
)
from llm_manager.lib.clocks.awake_clock import LONGEST_STEP_AT_REST_S, AwakeClock
from llm_manager.lib.log.json_lines import FIELDS, as_members, passed_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from inference.node.children.spawning import Spawn

logger = logging.getLogger(__name__)

#: The last lines of a worker's standard error go into the message about its death.
_STDERR_LINES = 8
_KILL_AFTER_S = 5.0


class WorkerProcess:
    """A child process that serves one model.

    ``on_change``: it has another state, or has ended. ``on_activity``: other requests.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        on_change: Callable[[], None],
        on_activity: Callable[[], None],
        spawn: Spawn = spawn_worker,
    ) -> None:
        self.spec = spec
        self._spawn = spawn
        self.report = WorkerReport(state="loading")
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self._clock = AwakeClock(longest_step_s=LONGEST_STEP_AT_REST_S)
        self._heard_at = self._clock()
        self._drain: Drain | None = None
        self._drained_at = 0.0
        self._on_change = on_change
        self._on_activity = on_activity
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._readers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the process and send it its WorkerSpec. Raises OSError."""
        self._process = await self._spawn(self.spec.engine.n_threads)
        self._readers = [
            asyncio.create_task(self._read_reports()),
            asyncio.create_task(self._read_stderr()),
        ]
        await self._write(spec_to_line(self.spec))

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def is_draining(self) -> bool:
        """Whether it has been asked to drain."""
        return self._drain is not None

    @property
    def has_to_end_now(self) -> bool:
        """Whether it has been asked to drain without finishing requests."""
        return self._drain is not None and self._drain.is_now

    @property
    def drained_for_s(self) -> float:
        """Seconds since the last command to drain."""
        return 0.0 if self._drain is None else time.monotonic() - self._drained_at

    @property
    def silent_s(self) -> float:
        """Seconds since its last report, without those in which nobody listened."""
        return self._clock() - self._heard_at

    @property
    def load_seconds(self) -> float | None:
        """Seconds from the start of the process until it was ready."""
        return None if self.ready_at is None else self.ready_at - self.started_at

    def death(self) -> str:
        """Return why the process ended, in a sentence for people."""
        if self.report.state == "failed":
            return self.report.error
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            reason = f"The worker was killed by {signal.Signals(-code).name}."
        else:
            reason = f"The worker exited with code {code}."
        return "\n".join([reason, *self._stderr])

    async def drain(self, command: Drain | None = None) -> None:
        """Ask it to take no new requests and to exit.

        After a command that lets running requests finish, one may follow that does not.
        """
        command = command or Drain()
        if self._drain is None or (command.is_now and not self._drain.is_now):
            self._drain = command
            self._drained_at = time.monotonic()
            await self._write(drain_to_line(command))

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """Close its input, which ends it, and wait until it has ended."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _KILL_AFTER_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _write(self, line: str) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                stdin.write(line.encode())
                await stdin.drain()

    async def _read_reports(self) -> None:
        assert self._process is not None  # noqa: S101 - start() set it
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        async for line in _lines(self._process.stdout):
            report = report_from_line(line)
            if report is None:
                text = line.decode("utf-8", "replace").rstrip()
                name = self.spec.model_name
                more = {FIELDS: {"model": name}}
                logger.warning("worker %s: %s", name, text, extra=more)
                continue
            before, self.report = self.report, report
            self._heard_at = self._clock()
            if report.state == "ready" and self.ready_at is None:
                self.ready_at = time.monotonic()
            if report.state != before.state:
                self._on_change()
            elif _activity(report) != _activity(before):
                self._on_activity()
        await self._process.wait()
        self._on_change()

    async def _read_stderr(self) -> None:
        assert self._process is not None  # noqa: S101 - start() set it
        assert self._process.stderr is not None  # noqa: S101 - a pipe
        async for line in _lines(self._process.stderr):
            self._log(line.decode("utf-8", "replace").rstrip())

    def _log(self, text: str) -> None:
        """Pass a line of the worker's standard error on."""
        name = self.spec.model_name
        members = as_members(text)
        if members is None:
            self._stderr.append(text)
            logger.info("worker %s: %s", name, text, extra={FIELDS: {"model": name}})
            return
        self._stderr.append(str(members["message"]))
        logger.handle(passed_on(members, model=name))


def _activity(report: WorkerReport) -> tuple[int, int]:
    """Return what shows that requests have come or gone."""
    return report.running, report.requests_total


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, without those that are too long."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue
        if not line:
            return
        yield line
