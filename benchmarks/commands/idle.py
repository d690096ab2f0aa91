"""``python -m benchmarks idle``: what an installation takes while nobody asks.

The whole server loads a model, answers once and is left alone. The table has the CPU
time of each of its processes as a share of one core, with a model loaded and without
one, how often their threads wake up, and the commands a second that Redis gets.

What a wake-up costs depends on the machine, so the last row is of a Python process that
does nothing else as often.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, clock
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from benchmarks.systems.usage import ProcessTree
from inference.engine.config.cpu_threads import physical_cores
from llm_manager.config.redis_socket import socket_path

if TYPE_CHECKING:
    from benchmarks.options.commands import IdleOptions
    from benchmarks.systems import Running


#: A process that wakes up so many times a second, and does nothing else.
_SLEEPS = "import sys, time\nwhile True: time.sleep(1 / float(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Idle:
    """Seconds of CPU a second by role; commands a second of Redis, by name.

    ``wakeups`` a second of all threads: what they cost depends on the machine.
    """

    shares: dict[str, float]
    commands: dict[str, float]
    wakeups: float

    @property
    def total(self) -> float:
        """The share of one core that all processes take."""
        return sum(self.shares.values())


def measure(options: IdleOptions) -> int:
    """Measure and print; return 1 if it takes more than the limit."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        results = asyncio.run(_measure(options, Path(folder)))
    often = max(results.values(), key=lambda idle: idle.wakeups)
    _show(results, asyncio.run(_bare(often.wakeups, options.seconds)))
    return int(any(100 * idle.total > options.limit for idle in results.values()))


async def _measure(options: IdleOptions, folder: Path) -> dict[str, Idle]:
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    results = {}
    async with Ours().running(conditions, data) as running:
        await asyncio.sleep(options.settle)
        results["no model"] = await _idle(running, data, options.seconds)
        await running.target.ask(Call((Message("user", "Hi"),), max_tokens=1))
        await asyncio.sleep(options.settle)
        results["a model is loaded"] = await _idle(running, data, options.seconds)
    return results


async def _bare(wakeups: float, seconds: float) -> Idle:
    """Return what a Python process takes that only wakes up so often a second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SLEEPS, f"{wakeups:f}"
    )
    try:
        tree = ProcessTree(process.pid, lambda _: "")
        # Its start is over.
        await asyncio.sleep(1)
        used, waits, start = tree.cpu_s(), tree.wakeups(), clock()
        await asyncio.sleep(seconds)
        took = clock() - start
        cpu_s = sum(tree.cpu_s().values()) - sum(used.values())
        return Idle({"": cpu_s / took}, {}, (tree.wakeups() - waits) / took)
    finally:
        process.kill()
        await process.wait()


async def _idle(running: Running, data: Path, seconds: float) -> Idle:
    """Return what the system takes for this long."""
    with redis.Redis(unix_socket_path=str(socket_path(data))) as connection:
        calls, used = _calls(connection), running.processes.cpu_s()
        waits, start = running.processes.wakeups(), clock()
        await asyncio.sleep(seconds)
        took = clock() - start
        wakeups = (running.processes.wakeups() - waits) / took
        shares: defaultdict[str, float] = defaultdict(float)
        for (role, pid), cpu_s in running.processes.cpu_s().items():
            shares[role] += (cpu_s - used.get((role, pid), 0.0)) / took
        commands = {
            name: (count - calls[name]) / took
            for name, count in _calls(connection).items()
            if count > calls[name] and name != "info"
        }
    return Idle(dict(shares), commands, wakeups)


def _calls(connection: redis.Redis) -> Counter[str]:
    """Return how often each command has been called."""
    statistics: Any = connection.info("commandstats")
    return Counter(
        {
            name.removeprefix("cmdstat_"): int(numbers["calls"])
            for name, numbers in statistics.items()
        }
    )


def _show(results: dict[str, Idle], bare: Idle) -> None:
    table = Table(title="While nobody asks: percent of one core")
    roles = sorted({role for idle in results.values() for role in idle.shares})
    titles = ("", *roles, "all", "wake-ups a second", "Redis, commands a second")
    for title in titles:
        table.add_column(title, justify="right" if title else "left")
    for name, idle in [*results.items(), ("only wakes up as often", bare)]:
        shares = [*(idle.shares.get(role) for role in roles), idle.total]
        asked = ", ".join(
            f"{command} {rate:.1f}"
            for command, rate in sorted(
                idle.commands.items(), key=lambda item: -item[1]
            )
        )
        percents = ("" if part is None else f"{100 * part:.2f}" for part in shares)
        table.add_row(name, *percents, f"{idle.wakeups:.1f}", asked)
    Console(width=160).print(table)
