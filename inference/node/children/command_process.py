"""Processes in which a node works beside serving, while there is something to do.

The engine process itself measures and downloads nothing: it must answer its workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings

from inference.models import Benchmark
from llm_manager.lib.processes.python_path import python_path
from llm_manager.lib.threads import in_one_thread
from registry.models import ContextTest, Download

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

#: A process that could not do its work is not started again at once.
_AGAIN_AFTER_S = 10.0
_KILL_AFTER_S = 10.0


async def _spawn(command: str) -> Process:
    """Start the process of a management command. Raises OSError."""
    arguments = (command, "--parent", str(os.getpid()))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "django", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": python_path()},
    )


class CommandProcess:
    """Runs a management command while it is due; what is interrupted goes on later."""

    def __init__(
        self,
        command: str,
        is_due: Callable[[], bool],
        *,
        spawn: Callable[[], Awaitable[Process]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.command = command
        self._is_due = is_due
        self._spawn = spawn or partial(_spawn, command)
        self._clock = clock
        self._process: Process | None = None
        self._started_at: float | None = None

    async def look_after(self) -> None:
        """Start it if there is work and it does not run. Raises OSError."""
        if self._process is not None and self._process.returncode is None:
            return
        if self._process is not None and self._process.returncode:
            logger.error("%s ended with %d", self.command, self._process.returncode)
        self._process = None
        if not await in_one_thread(self._is_due):
            return
        now = self._clock()
        if self._started_at is None or now - self._started_at > _AGAIN_AFTER_S:
            self._started_at = now
            self._process = await self._spawn()

    async def close(self) -> None:
        """End it: its work goes on when an engine runs again."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _KILL_AFTER_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def context_test_process() -> CommandProcess:
    """Return what runs the context tests that are requested of this node."""
    return CommandProcess("run_context_tests", ContextTest.objects.wait_for_engines)


def benchmark_process() -> CommandProcess:
    """Return what runs the benchmarks that are requested."""
    return CommandProcess("run_benchmarks", Benchmark.objects.wait_for_engines)


def download_process() -> CommandProcess:
    """Return what runs the downloads of this node."""
    return CommandProcess("run_downloads", Download.objects.wait_for_engines)


def file_server_process() -> CommandProcess:
    """Return what sends this node's model files to others, if it is to."""
    return CommandProcess("run_file_server", lambda: bool(settings.CONFIG.nodes.listen))
