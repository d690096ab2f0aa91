"""Starts a worker process; it loads its program and waits for its specification."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

from inference.engine.config.cpu_threads import thread_environment
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    #: Starts a worker process for a model with so many threads. Raises OSError.
    Spawn = Callable[[int], Awaitable[Process]]

#: The longest line that a worker may write, in bytes; longer ones are skipped.
_LINE_LIMIT = 1024 * 1024


async def spawn_worker(
    n_threads: int,
    *,
    module: str = "inference.worker.main",
    arguments: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
    process_group: int | None = None,
) -> Process:
    """Start a worker process for a model with this many threads. Raises OSError.

    ``module`` is what runs in it; it inherits the descriptors ``pass_fds``.
    """
    environment = thread_environment(n_threads) | os.environ
    # A debugger's lines would push out what llama.cpp says before it aborts.
    environment.setdefault("GGML_NO_BACKTRACE", "1")
    environment["PYTHONPATH"] = python_path()
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        limit=_LINE_LIMIT,
        pass_fds=pass_fds,
        process_group=process_group,
    )
