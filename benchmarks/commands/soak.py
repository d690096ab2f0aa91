"""``python -m benchmarks soak``: a random load on the whole server, for long.

The engine checks its own books whenever it is idle and ends the worker if they do
not balance, so that a server whose worker has lived through it all lost nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.client.answers import Call, Message, WrongAnswer, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from benchmarks.workloads.prompts import text
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.options.commands import SoakOptions
    from benchmarks.systems import Running

_SAMPLE_EVERY_S = 1.0
#: By the first window caches are full and every length has been there; what the
#: worker takes must not grow from there to the second. Shares of the time.
_AFTER_WARM_UP = (0.2, 0.4)
_AT_THE_END = (0.8, 1.0)
#: What it may grow by all the same: the allocator's own fragmentation.
_MAX_GROWTH_BYTES = 32 * 1024 * 1024
#: Long enough for an abort to reach the worker, for the engine to become idle and
#: for its report to reach the database.
_SETTLE_S = 10.0
_CANCELLED_SHARE = 0.2
#: A client that waits longer has been forgotten.
_ANSWER_TIMEOUT_S = 300
_MIB = 1024 * 1024
_LOG_TAIL_CHARS = 4000


@dataclass(slots=True)
class Record:
    """What has happened."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    #: When, as a share of the time, and how much memory the worker had.
    rss: list[tuple[float, int]] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    #: Sequences that the server holds after the last answer.
    left_over: int = 0

    def rss_in(self, window: tuple[float, float]) -> float:
        """Return the median of the worker's memory in a window of the time."""
        first, last = window
        return statistics.median(
            size for when, size in self.rss if first <= when <= last
        )

    def problems(self) -> list[str]:
        """Return the problems, a sentence each."""
        problems = [f"{count} times: {error}" for error, count in self.errors.items()]
        if not self.counts["answered"]:
            problems.append("No request was answered.")
        if len(self.workers) != 1:
            problems.append(f"{len(self.workers)} workers have lived; one should have.")
        if self.left_over:
            problems.append(f"{self.left_over} sequences are left over.")
        growth = self.rss_in(_AT_THE_END) - self.rss_in(_AFTER_WARM_UP)
        if growth > _MAX_GROWTH_BYTES:
            problems.append(f"The worker has grown by {growth / _MIB:.0f} MiB.")
        return problems


def random_call(chance: random.Random, num_keys: int, n_ctx: int) -> Call:
    """Return a request of any length, sampling and key that fits the context."""
    max_tokens = int(2 ** chance.uniform(0, 7.5))
    # As many short prompts as long ones, and room for the template.
    prompt_tokens = int(2 ** chance.uniform(2, 11))
    prompt_tokens = min(prompt_tokens, n_ctx - max_tokens - 300)
    messages = [Message("user", text(prompt_tokens, str(chance.random())))]
    if chance.random() < 0.5:
        # One of a few, so that prefixes are shared.
        salt = f"system-{chance.randrange(4)}"
        messages.insert(0, Message("system", text(chance.choice((50, 200)), salt)))
    sampling = chance.choice(
        (
            {"temperature": 0},
            {"temperature": 0.8, "top_p": 0.9, "seed": chance.randrange(1000)},
            {"temperature": 1.2, "top_k": 40, "min_p": 0.05},
            {"temperature": 0.7, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        )
    )
    return Call(
        messages=tuple(messages),
        max_tokens=max_tokens,
        key=chance.randrange(num_keys),
        sampling=sampling,
        exact=False,
    )


def soak(options: SoakOptions) -> int:
    """Load the server and print the results; return 1 if anything was wrong."""
    with tempfile.TemporaryDirectory(prefix="llmm-soak-") as name:
        folder = Path(name)
        conditions = Conditions(
            model=put_model(folder / "models", options.quantization),
            n_threads=physical_cores(),
        )
        home = folder / "server"
        home.mkdir()
        record = asyncio.run(_soak(options, conditions, home))
        log = (home / "log").read_text(encoding="utf-8", errors="replace")
    console = Console(highlight=False)
    counts = ", ".join(f"{count} {what}" for what, count in record.counts.items())
    console.print(f"{options.minutes:g} minutes, seed {options.seed}: {counts}.")
    console.print(
        "The worker's resident memory: "
        f"{record.rss_in(_AFTER_WARM_UP) / _MIB:.0f} MiB after warming up, "
        f"{record.rss_in(_AT_THE_END) / _MIB:.0f} MiB at the end."
    )
    problems = record.problems()
    for problem in problems:
        console.print(f"WRONG: {problem}", markup=False)
    if problems:
        console.print(log[-_LOG_TAIL_CHARS:], markup=False)
    else:
        console.print("No error, no restart, no leak.")
    return 1 if problems else 0


async def _soak(options: SoakOptions, conditions: Conditions, home: Path) -> Record:
    record = Record()
    system = Ours()
    async with system.running(conditions, home) as running:
        # Loads the model.
        await running.target.ask(Call((Message("user", "Hello."),), 1))
        start = clock()
        seconds = 60 * options.minutes
        async with asyncio.TaskGroup() as group:
            for number in range(options.clients):
                chance = random.Random(f"{options.seed}-{number}")
                calls = (
                    random_call(chance, system.num_keys, conditions.n_ctx)
                    for _ in iter(lambda: clock() - start < seconds, False)  # noqa: FBT003
                )
                group.create_task(_client(calls, chance, running, record))
            while (elapsed := clock() - start) < seconds:
                _sample(running, record, elapsed / seconds)
                await asyncio.sleep(_SAMPLE_EVERY_S)
        await asyncio.sleep(_SETTLE_S)
        record.left_over = await asyncio.to_thread(_sequences, running)
        # A worker whose books did not balance would be gone by now.
        _sample(running, record, 1.0)
    return record


async def _client(
    calls: Iterable[Call], chance: random.Random, running: Running, record: Record
) -> None:
    """Send one call after the other; go away from some at any point."""
    for call in calls:
        is_cancelled = chance.random() < _CANCELLED_SHARE
        patience_s = chance.expovariate(1) if is_cancelled else _ANSWER_TIMEOUT_S
        try:
            async with asyncio.timeout(patience_s):
                answer = await running.target.ask(call)
        except TimeoutError:
            if is_cancelled:
                record.counts["cancelled"] += 1
            else:
                record.errors[f"no answer within {_ANSWER_TIMEOUT_S} s"] += 1
        except (WrongAnswer, OSError) as error:
            record.errors[str(error)] += 1
        else:
            record.counts["answered"] += 1
            record.counts["output tokens"] += answer.completion_tokens


def _sample(running: Running, record: Record, when: float) -> None:
    record.rss.append((when, running.processes.rss_bytes().get("worker", 0)))
    record.workers.update(running.processes.pids().get("worker", ()))


def _sequences(running: Running) -> int:
    """Return how many sequences the server reports as running or queued."""
    target = running.target
    assert isinstance(target, HttpTarget)
    connection = HTTPConnection("127.0.0.1", target.port)
    try:
        connection.request(
            "GET",
            "/health/detailed",
            headers={"Authorization": f"Bearer {target.keys[0]}"},
        )
        workers = json.loads(connection.getresponse().read())["workers"]
    finally:
        connection.close()
    return sum(worker["running"] + worker["waiting"] for worker in workers)
