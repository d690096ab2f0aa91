"""What a system under test is, and starting one that is a server."""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.client.answers import clock
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from benchmarks.client.answers import Target
    from benchmarks.model import Conditions
    from benchmarks.systems.usage import ProcessTree

ROOT = Path(__file__).resolve().parents[2]
#: Where scripts/build_peers.sh puts the other systems.
PEERS = ROOT / ".bench"
HOW_TO_GET_PEERS = "make bench-peers builds it"
#: It writes this last.
PEERS_ARE_BUILT = PEERS / ".built"

_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 30
_POLL_S = 0.1
_LOG_TAIL_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Running:
    """A system that answers."""

    target: Target
    processes: ProcessTree


class System(Protocol):
    """A system that can be started."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def num_keys(self) -> int:
        """How many API keys it can tell apart."""

    def missing(self) -> str | None:
        """Return how to get it if it is not there."""

    def running(
        self, conditions: Conditions, folder: Path
    ) -> AbstractAsyncContextManager[Running]:
        """Start it; its log and data go into ``folder``. Raises SystemExit."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of every system under test.

    Nothing of a deployment on this machine is in it. What it says of OpenMP holds for
    all; else each system's threads compute as that system lets them.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLM_MANAGER_", "LLAMA_ARG_"))
        and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return {**inherited, "PYTHONPATH": python_path(), **more}


def openmp_environment() -> dict[str, str]:
    """Return the environment variables for OpenMP, for all systems."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("OMP_", "GOMP_"))
    }


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(
    command: list[str],
    log: Path,
    env: dict[str, str] | None = None,
    *,
    stdin: int = DEVNULL,
    stdout: int | None = None,
) -> AsyncIterator[Process]:
    """Run a command until the end of the block.

    Its errors, and its output unless that goes elsewhere, are in ``log``.
    """
    with log.open("wb") as file:
        started = await asyncio.create_subprocess_exec(
            *command,
            env=env or environment(),
            stdin=stdin,
            stdout=file if stdout is None else stdout,
            stderr=file,
        )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.terminate()
        try:
            await asyncio.wait_for(started.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            started.kill()
            await started.wait()


@asynccontextmanager
async def server(
    command: list[str],
    port: int,
    health: str,
    log: Path,
    env: dict[str, str] | None = None,
) -> AsyncIterator[Process]:
    """Run a server, from when its path ``health`` is 200 to the end of the block."""
    async with process(command, log, env) as started:
        deadline = clock() + _START_TIMEOUT_S
        while not await _is_healthy(port, health):
            if started.returncode is not None or clock() > deadline:
                raise SystemExit(start_failed(command, log))
            await asyncio.sleep(_POLL_S)
        yield started


def start_failed(command: list[str], log: Path) -> str:
    """Return a sentence and the end of the log."""
    tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARS:]
    return f"This did not start: {' '.join(command)}\n{tail}"


async def _is_healthy(port: int, path: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        status = await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
    return b" 200 " in status
