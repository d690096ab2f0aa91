"""Finds out whether models can be loaded before others make room for them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings

from inference.worker.node_pipe import spec_to_line
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from inference.engine.config.engine_config import EngineConfig
    from inference.models import Worker
    from inference.worker.node_pipe import WorkerSpec

logger = logging.getLogger(__name__)

#: The last characters of a failed check's standard error that people see.
_STDERR_CHARACTERS = 1000
#: How many models are remembered that could be loaded.
_MAX_PASSED = 256


class LoadChecks:
    """Checks, each in a process of its own, one for each request of a worker.

    ``wake`` makes the supervisor look at the rows again.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._checks: dict[int, tuple[datetime, asyncio.Task[str]]] = {}
        #: What passed: models that take turns are checked once.
        self._passed: set[EngineConfig] = set()

    def error_of(self, row: Worker, spec: WorkerSpec) -> str | None:
        """Return why a requested worker cannot be loaded, "" if it can.

        None while it is being checked; ``wake`` is called after that.
        """
        if spec.engine in self._passed:
            return ""
        known = self._checks.get(row.pk)
        if known is None or known[0] != row.requested_at:
            task = asyncio.create_task(load_check(spec))
            task.add_done_callback(lambda _task: self._wake())
            self._checks[row.pk] = (row.requested_at, task)
            return None
        task = known[1]
        if not task.done():
            return None
        # A check that fails itself says nothing about the model.
        failure = task.exception()
        if failure is not None:
            logger.error("A load could not be checked", exc_info=failure)
            return ""
        if not task.result():
            if len(self._passed) >= _MAX_PASSED:
                self._passed.clear()
            self._passed.add(spec.engine)
        return task.result()

    def forget(self, row_id: int) -> None:
        """Drop what is known of a worker: it is loaded or refused."""
        self._checks.pop(row_id, None)


async def load_check(spec: WorkerSpec) -> str:
    """Return why a worker cannot load its model, "" if it can. Raises OSError."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = python_path()
    # A debugger's lines say nothing about the model.
    environment["GGML_NO_BACKTRACE"] = "1"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference.worker.load_check",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    timeout_s = settings.CONFIG.engine.load_timeout
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(spec_to_line(spec).encode())
    except TimeoutError:
        await _end(process)
        return (
            f"Reading the model took longer than {timeout_s} s (engine.load_timeout)."
        )
    except BaseException:
        await _end(process)
        raise
    try:
        return str(json.loads(out)["error"])
    except (ValueError, KeyError):
        said = err.decode("utf-8", "replace").strip()[-_STDERR_CHARACTERS:]
        code = process.returncode or 0
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        return f"llama.cpp ended with {how} when it read the model.\n{said}".strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process and wait for its end."""
    with suppress(ProcessLookupError):
        process.kill()
    # The pipes must be read to their end, or their transports stay open.
    await process.communicate()
