"""One process of the system with its children, which may be killed and come back."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.systems.ours import role
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.nodes.places import Place

#: Longer than ``engine.drain_timeout`` and what a web process adds to it.
_STOP_WITHIN_S = 60.0


@dataclass(slots=True)
class Part:
    """``command`` runs in ``place``; what it writes is in ``log``."""

    place: Place
    command: list[str]
    env: dict[str, str]
    log: Path
    process: Process | None = None

    @property
    def name(self) -> str:
        """The name of its place."""
        return self.place.name

    @property
    def pid(self) -> int:
        """The process that was started last."""
        return self.process.pid if self.process is not None else 0

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.process is not None and self.process.returncode is None

    async def start(self, **more: str) -> None:
        """Start it, with more environment variables for this run."""
        with self.log.open("ab") as file:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env={**self.env, **more},
                stdin=DEVNULL,
                stdout=file,
                stderr=file,
            )

    async def stop(self) -> None:
        """Ask it to end, and wait; kill what is left of it."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_WITHIN_S)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.process.wait()

    async def kill(self) -> None:
        """Kill it and its children, as a machine that loses power."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it and its children until the end of the block."""
        stopped = self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def workers(self) -> set[int]:
        """Return the pids of its workers."""
        return set(ProcessTree(self.pid, role).pids().get("worker", ()))

    def _signal(self, number: signal.Signals) -> list[int]:
        found = ProcessTree(self.pid, role).pids()
        pids = [pid for of in found.values() for pid in of]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids
