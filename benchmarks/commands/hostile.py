"""``python -m benchmarks hostile``: a quiet client beside attacks on the whole server.

One client of one key asks for a token again and again. Clients of another key attack
in every second one of several windows of time, so that each window beside an attack has
one without before it and after it. The table has the client's latency in both, where
the slowest tenth of its requests spend their time, what the web process took in memory
at most and keeps after it, what the attackers got, and the share of a processor that
they took: these are the victim's processors too.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.client.quiet_client import QuietClient
from benchmarks.faults.usage_trial import query
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import percentile
from benchmarks.reporting.windows import Parts, of_the_slowest, ratios
from benchmarks.systems.ours import Ours
from benchmarks.workloads.attacks import Result
from inference.engine.config.cpu_threads import physical_cores
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from benchmarks.client.http_client import HttpTarget
    from benchmarks.client.quiet_client import Asked
    from benchmarks.options.commands import HostileOptions
    from benchmarks.systems.system import Running

_MIB = 1024 * 1024
#: How long what an attack has begun may take to end, and the rows of requests to come.
_REST_S = 2.0
#: The server starts spare processes some seconds after itself, which take a processor
#: for a while: how long it must have used less than this share of one, and for how long
#: that is waited for at most.
_RESTS_FOR_S, _RESTING, _SETTLES_WITHIN_S = 12.0, 0.1, 60.0
_ROWS = """
SELECT queue_ms, first_token_ms FROM accounts_usagerecord
WHERE key_prefix <> '' AND '{key}' LIKE key_prefix || '%'
    AND status = 200 AND first_token_ms IS NOT NULL
ORDER BY id DESC LIMIT {count}
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """The quiet client's requests, by windows; the bytes of the web process.

    ``parts`` are those of all requests that were answered, None if the server has no
    rows of them all.
    """

    alone: list[list[Asked]]
    attacked: list[list[Asked]]
    parts: dict[Asked, Parts]
    before: int
    peak: int
    after: int
    attack: Result

    @property
    def ratios(self) -> list[float]:
        """How much longer the p95 is in each window beside the attack."""
        return ratios(*(_seconds(windows) for windows in (self.alone, self.attacked)))

    @property
    def failures(self) -> int:
        """How many of the client's requests failed."""
        windows = [*self.alone, *self.attacked]
        return sum(not asked.is_answered for window in windows for asked in window)

    def slowest(self, windows: list[list[Asked]]) -> Parts | None:
        """Return where the slowest tenth of the requests in these spend their time."""
        parts = (self.parts.get(asked) for window in windows for asked in window)
        return of_the_slowest(each for each in parts if each)


def measure(options: HostileOptions) -> int:
    """Measure and print; return 1 if the quiet client was failed or held up."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        results = asyncio.run(_measure(options, Path(folder)))
    _show(results)
    is_held_up = any(
        beside.failures or statistics.median(beside.ratios) > options.limit
        for beside in results.values()
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
        await _settled(running)
        for name in options.attacks:
            results[name] = await _beside(name, running, data, options)
    return results


async def _settled(running: Running) -> None:
    """Wait until the server rests. Raises TimeoutError."""
    async with asyncio.timeout(_SETTLES_WITHIN_S):
        rested_s = 0.0
        while rested_s < _RESTS_FOR_S:
            before = sum(running.processes.cpu_s().values())
            await asyncio.sleep(1.0)
            used = sum(running.processes.cpu_s().values()) - before
            rested_s = rested_s + 1.0 if used < _RESTING else 0.0


async def _beside(
    name: str, running: Running, data: Path, options: HostileOptions
) -> Beside:
    target: HttpTarget = running.target  # type: ignore[assignment]
    web = psutil.Process(running.processes.pids()["web"][0])
    client = QuietClient(target)
    sizes: list[int] = []

    async def watch_memory() -> None:
        while True:
            sizes.append(web.memory_info().rss)
            await asyncio.sleep(0.1)

    # Beside both, so that both are measured under the same conditions.
    watching = asyncio.create_task(watch_memory())
    try:
        async with _attacker(name, target) as attacker:
            assert attacker.stdin is not None
            await client.ask(_REST_S)
            alone, attacked = [await client.ask(options.seconds)], []
            before = sizes[-1]
            for _ in range(options.rounds):
                attacker.stdin.write(b"\n")
                attacked.append(await client.ask(options.seconds))
                attacker.stdin.write(b"\n")
                await client.ask(_REST_S)
                alone.append(await client.ask(options.seconds))
            result, _ = await attacker.communicate(b"")
        await asyncio.sleep(_REST_S)
    finally:
        watching.cancel()
    return Beside(
        *(alone, attacked, _parts(client, data / "db.sqlite3", target.keys[0])),
        *(before, max(sizes), web.memory_info().rss),
        Result(**json.loads(result)),
    )


@asynccontextmanager
async def _attacker(name: str, target: HttpTarget) -> AsyncIterator[Process]:
    """Start the process of an attack; it has made its requests."""
    attacker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.workloads.attacks"),
        *(name, str(target.port), target.model, target.keys[1]),
        stdin=PIPE,
        stdout=PIPE,
        env={"PYTHONPATH": python_path()},
    )
    assert attacker.stdout is not None
    try:
        await attacker.stdout.readline()
        yield attacker
    finally:
        if attacker.returncode is None:
            attacker.kill()
            await attacker.wait()


def _parts(client: QuietClient, database: Path, key: str) -> dict[Asked, Parts]:
    """Return where the time of each request went, by the server's rows of them."""
    answered = [asked for asked in client.asked if asked.is_answered]
    rows = query(database, _ROWS.format(key=key, count=len(answered)))
    if len(rows) != len(answered):
        return {}
    # The client asks one after the other, so the rows are in its order.
    return {
        asked: Parts(
            row["queue_ms"] / 1000,
            (row["first_token_ms"] - row["queue_ms"]) / 1000,
            asked.seconds - row["first_token_ms"] / 1000,
        )
        for asked, row in zip(answered, reversed(rows), strict=True)
    }


def _seconds(windows: list[list[Asked]]) -> list[list[float]]:
    return [[asked.seconds for asked in window] for window in windows]


def _show(results: dict[str, Beside]) -> None:
    table = Table(title="One token for a quiet client")
    for title in (
        *("attack", "p50 alone, ms", "beside it", "p95 alone", "beside it", "ratio"),
        *("of rounds", "failed", "the slowest tenth: start", "token", "rest"),
    ):
        table.add_column(title, justify="left" if title == "attack" else "right")
    for name, beside in results.items():
        both = (beside.alone, beside.attacked)
        times = [
            f"{1000 * statistics.median(_percentiles(windows, share)):.0f}"
            for share in (50, 95)
            for windows in both
        ]
        slowest = [beside.slowest(windows) for windows in both]
        parts = [
            " → ".join(
                "?" if each is None else f"{1000 * getattr(each, part):.0f}"
                for each in slowest
            )
            for part in ("start_s", "token_s", "rest_s")
        ]
        found = beside.ratios
        table.add_row(
            *(name, *times, f"{statistics.median(found):.1f}"),
            ", ".join(f"{ratio:.1f}" for ratio in sorted(found)),
            *(str(beside.failures), *parts),
        )
    console = Console(width=160)
    console.print(table)
    console.print(_attackers(results))


def _attackers(results: dict[str, Beside]) -> Table:
    table = Table(title="The web process's memory, and the attackers")
    for title in (
        *("attack", "MiB before", "at most", "after", "the attackers got"),
        *("a second", "their CPU"),
    ):
        table.add_column(title, justify="left" if title == "attack" else "right")
    for name, beside in results.items():
        attack = beside.attack
        got = ", ".join(
            f"{count} x {status or 'cut'}" for status, count in attack.statuses.items()
        )
        memory = (beside.before, beside.peak, beside.after)
        table.add_row(
            *(name, *(f"{size / _MIB:.0f}" for size in memory), got),
            f"{sum(attack.statuses.values()) / attack.seconds:.0f}",
            f"{attack.cpu_s / attack.seconds:.0%}",
        )
    return table


def _percentiles(windows: list[list[Asked]], share: float) -> list[float]:
    return [percentile(seconds, share) for seconds in _seconds(windows)]
