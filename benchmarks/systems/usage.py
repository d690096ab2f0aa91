"""What the processes of a system take: CPU time by role, resident memory."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from benchmarks.reporting.figures import Figures

_SAMPLE_EVERY_S = 0.25
_WAITS = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)
#: What carries tokens between the client and the process that computes them.
_CARRIERS = ("web", "redis")


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process and its descendants, with a role for each by its command line."""

    root: int
    role: Callable[[list[str]], str]

    def cpu_s(self) -> dict[tuple[str, int], float]:
        """Return the CPU seconds that each process has used, by role and pid.

        They are exact to the nanosecond, and those of threads that have ended count.
        """
        used = {}
        for process in self._processes():
            with suppress(psutil.NoSuchProcess, OSError):
                seconds = time.clock_gettime(_cpu_clock(process.pid))
                used[self.role(process.cmdline()), process.pid] = seconds
        return used

    def wakeups(self) -> int:
        """Return how often threads of these processes have begun to wait for something.

        Each wait ends with a wake-up. Those of threads that have ended do not count.
        """
        count = 0
        for process in self._processes():
            for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
                # Threads and processes end at any time.
                with suppress(OSError):
                    found = _WAITS.search(status.read_text())
                    count += int(found[1]) if found else 0
        return count

    def rss_bytes(self) -> dict[str, int]:
        """Return the resident memory by role; shared pages count in each process."""
        sizes: Counter[str] = Counter()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                sizes[self.role(process.cmdline())] += process.memory_info().rss
        return sizes

    def pids(self) -> dict[str, list[int]]:
        """Return the processes by role, the oldest first."""
        found: dict[str, list[tuple[float, int]]] = {}
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                place = (process.create_time(), process.pid)
                found.setdefault(self.role(process.cmdline()), []).append(place)
        return {role: [pid for _, pid in sorted(of)] for role, of in found.items()}

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.root)
            return [root, *root.children(recursive=True)]
        return []


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, as ``clock_getcpuclockid`` does.

    Python has only that of a thread. Linux encodes the process in the number; 2 is the
    scheduler's own count. Ticks of ``/proc/PID/stat`` are 10 ms, which an idle process
    uses in a minute.
    """
    return (~pid << 3) | 2


@dataclass(slots=True)
class Usage:
    """CPU seconds by role and peak memory, complete when the measurement has ended."""

    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    peak_rss_bytes: int = 0

    def figures(self, tokens: float) -> Figures:
        """Return it as figures; ``tokens`` are the output tokens that it was for."""
        carriers_s = [self.cpu_s[role] for role in _CARRIERS if role in self.cpu_s]
        figures = {
            **{f"cpu_{role}_s": seconds for role, seconds in self.cpu_s.items()},
            "cpu_per_token_s": sum(self.cpu_s.values()) / tokens,
            "peak_rss_bytes": float(self.peak_rss_bytes),
        }
        if carriers_s:
            figures["carrier_cpu_per_token_s"] = sum(carriers_s) / tokens
        return figures


@asynccontextmanager
async def measured(tree: ProcessTree) -> AsyncIterator[Usage]:
    """Measure what the processes take until the end of the block."""
    usage = Usage()
    before = tree.cpu_s()

    def sample() -> None:
        now = sum(tree.rss_bytes().values())
        usage.peak_rss_bytes = max(usage.peak_rss_bytes, now)

    async def keep_sampling() -> None:
        while True:
            sample()
            await asyncio.sleep(_SAMPLE_EVERY_S)

    sampler = asyncio.create_task(keep_sampling())
    try:
        yield usage
    finally:
        sampler.cancel()
        sample()
        for (role, pid), seconds in tree.cpu_s().items():
            usage.cpu_s[role] += seconds - before.get((role, pid), 0.0)
