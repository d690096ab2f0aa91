"""llama.cpp's RPC server in a process of its own, for one session."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from pathlib import Path

_STARTS_WITHIN_S = 60.0
_LOOKS_EVERY_S = 0.05
_LAST_LINES = 4


class RpcChild:
    """The process; ``path`` is the socket where it listens."""

    def __init__(self, path: Path, n_threads: int, memory_bytes: int) -> None:
        self.path = path
        self._arguments = (str(path), str(n_threads), str(memory_bytes))
        self._process: asyncio.subprocess.Process | None = None
        self._said: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid if self._process else 0

    async def start(self) -> bool:
        """Start it, and wait until it listens; whether it does.

        Raises OSError, TimeoutError.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference.engine.llama.rpc_server",
            *self._arguments,
            # Its end means that this process is gone.
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=PIPE,
            env={**os.environ, "PYTHONPATH": python_path(), "GGML_NO_BACKTRACE": "1"},
        )
        async with asyncio.timeout(_STARTS_WITHIN_S):
            while self._process.returncode is None:
                try:
                    _, writer = await asyncio.open_unix_connection(self.path)
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(_LOOKS_EVERY_S)
                else:
                    writer.close()
                    return True
        return False

    async def wait(self) -> str:
        """Wait for its end; return what it said last."""
        assert self._process is not None  # noqa: S101 - it has been started
        assert self._process.stderr is not None  # noqa: S101 - a pipe
        async for text in self._process.stderr:
            self._said.append(text.decode("utf-8", "replace").strip())
        code = await self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else "ended"
        return " ".join([f"its process {how}.", *self._said])

    async def close(self) -> None:
        """End it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
