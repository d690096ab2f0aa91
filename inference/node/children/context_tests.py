"""The process that runs the context tests that were requested of this node.

The engine process itself measures nothing: it must answer its workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_manager.lib.processes.python_path import python_path
from llm_manager.lib.threads import in_one_thread
from registry.models import ContextTest

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

#: A process that could not run the tests is not started again at once.
_AGAIN_AFTER_S = 10.0
_KILL_AFTER_S = 10.0


async def _spawn() -> Process:
    """Start the process. Raises OSError."""
    arguments = ("run_context_tests", "--parent", str(os.getpid()))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "django", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": python_path()},
    )


class ContextTestProcess:
    """Runs while tests are requested; a test that is interrupted goes on later."""

    def __init__(
        self,
        *,
        spawn: Callable[[], Awaitable[Process]] = _spawn,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spawn = spawn
        self._clock = clock
        self._process: Process | None = None
        self._started_at: float | None = None

    async def look_after(self) -> None:
        """Start it if tests wait and it does not run. Raises OSError."""
        if self._process is not None and self._process.returncode is None:
            return
        if self._process is not None and self._process.returncode:
            logger.error("Context tests ended with %d", self._process.returncode)
        self._process = None
        if not await in_one_thread(ContextTest.objects.wait_for_engines):
            return
        now = self._clock()
        if self._started_at is None or now - self._started_at > _AGAIN_AFTER_S:
            self._started_at = now
            self._process = await self._spawn()

    async def close(self) -> None:
        """End it: its test goes on when an engine runs again."""
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
