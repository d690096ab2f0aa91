"""``python -m benchmarks hostile``: a quiet client beside attacks on the whole server.

One client of one key asks for a token again and again, first alone, then while clients
of another key attack. The table has its latency alone and beside each attack, what the
web process took in memory at most and keeps after it, what the attackers got, and the
share of a processor that they took: these are the victim's processors too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, WrongAnswer, clock
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import percentile
from benchmarks.systems.ours import Ours
from benchmarks.workloads.attacks import Result
from inference.engine.config.cpu_threads import physical_cores
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from benchmarks.client.http_client import HttpTarget
    from benchmarks.options.commands import HostileOptions
    from benchmarks.systems.usage import ProcessTree

_MIB = 1024 * 1024
#: Between two requests of the quiet client.
_PAUSE_S = 0.05
#: How long memory has to come back after an attack.
_REST_S = 2.0


@dataclass(frozen=True, slots=True)
class Beside:
    """The quiet client's seconds and failures; the bytes of the web process."""

    alone: list[float]
    attacked: list[float]
    failures: int
    before: int
    peak: int
    after: int
    attack: Result


def measure(options: HostileOptions) -> int:
    """Measure and print; return 1 if the quiet client was failed or held up."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        results = asyncio.run(_measure(options, Path(folder)))
    _show(results)
    is_held_up = any(
        beside.failures or _ratio(beside) > options.limit for beside in results.values()
    )
    return int(is_held_up)


async def _measure(options: HostileOptions, folder: Path) -> dict[str, Beside]:
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
    )
    results = {}
    data = folder / "data"
    data.mkdir(mode=0o700)
    async with Ours().running(conditions, data) as running:
        target: HttpTarget = running.target  # type: ignore[assignment]
        await _ask(target, 2.0)
        for name in options.attacks:
            results[name] = await _beside(
                name, target, running.processes, options.seconds
            )
    return results


async def _beside(
    name: str, target: HttpTarget, processes: ProcessTree, seconds: float
) -> Beside:
    web = psutil.Process(processes.pids()["web"][0])
    sizes: list[int] = []

    async def watch_memory() -> None:
        while True:
            sizes.append(web.memory_info().rss)
            await asyncio.sleep(0.1)

    # Beside both, so that both are measured under the same conditions.
    watching = asyncio.create_task(watch_memory())
    try:
        alone, failures = await _ask(target, seconds)
        before = sizes[-1]
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.workloads.attacks"),
            *(name, str(target.port), target.model, target.keys[1]),
            stdin=PIPE,
            stdout=PIPE,
            env={"PYTHONPATH": python_path()},
        )
        assert attacker.stdout is not None
        try:
            # It has made its requests.
            await attacker.stdout.readline()
            attacked, more = await _ask(target, seconds)
        finally:
            result, _ = await attacker.communicate(b"")
        await asyncio.sleep(_REST_S)
    finally:
        watching.cancel()
    return Beside(
        *(alone, attacked, failures + more),
        *(before, max(sizes), web.memory_info().rss),
        Result(**json.loads(result)),
    )


async def _ask(target: HttpTarget, seconds: float) -> tuple[list[float], int]:
    """Ask for a token again and again; return the latencies, and the failures."""
    call = Call((Message("user", "Hi"),), max_tokens=1)
    latencies: list[float] = []
    failures = 0
    end = clock() + seconds
    while clock() < end:
        started = clock()
        try:
            await target.ask(call)
        except (WrongAnswer, OSError):
            failures += 1
        latencies.append(clock() - started)
        await asyncio.sleep(_PAUSE_S)
    return latencies, failures


def _ratio(beside: Beside) -> float:
    return percentile(beside.attacked, 95) / percentile(beside.alone, 95)


def _show(results: dict[str, Beside]) -> None:
    table = Table(title="One token for a quiet client, and the web process's memory")
    for title in (
        *("attack", "p50 alone, ms", "beside it", "p95 alone, ms", "beside it"),
        *("ratio", "failed", "MiB before", "at most", "after", "the attackers got"),
        *("a second", "their CPU"),
    ):
        table.add_column(title, justify="left" if title == "attack" else "right")
    for name, beside in results.items():
        times = [
            f"{1000 * percentile(latencies, share):.0f}"
            for share in (50, 95)
            for latencies in (beside.alone, beside.attacked)
        ]
        memory = (beside.before, beside.peak, beside.after)
        attack = beside.attack
        got = ", ".join(
            f"{count} x {status or 'cut'}"
            for status, count in beside.attack.statuses.items()
        )
        table.add_row(
            *(name, *times, f"{_ratio(beside):.1f}", str(beside.failures)),
            *(f"{size / _MIB:.0f}" for size in memory),
            got,
            f"{sum(attack.statuses.values()) / attack.seconds:.0f}",
            f"{attack.cpu_s / attack.seconds:.0%}",
        )
    Console(width=160).print(table)
