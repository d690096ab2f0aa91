"""``python -m benchmarks web``: what one web process carries, with a null engine.

Clients ask the whole server in a closed loop: long answers of many streams for the
cost of a token, answers of one token for that of a request. The engine computes
nothing, its steps only take their time. The CPU time of each process says what one core
would carry if it had the web process to itself; the client, Redis and the worker share
the machine with it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import NULL_ENGINE, Ours

if TYPE_CHECKING:
    from benchmarks.client.answers import Target
    from benchmarks.options.commands import UpstreamOptions, WebOptions
    from benchmarks.systems import Running

_WARM_UP_S = 3.0
#: A prompt of some hundred words, as a short question in a chat has them.
_PROMPT = "Say how a bicycle stays upright, in a few sentences. " * 8


@dataclass(frozen=True, slots=True)
class Carried:
    """What came in a second, and the CPU seconds of it by role."""

    requests: float
    tokens: float
    cpu: dict[str, float]

    def capacity(self, of: float) -> float:
        """Return how much of something one core of web process would carry."""
        return of / self.cpu["web"]


def measure(options: WebOptions) -> int:
    """Measure and print; return 1 if a core carries less than the limits."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        tokens, requests = asyncio.run(_measure(options, Path(folder)))
    _show(tokens, requests)
    return int(
        tokens.capacity(tokens.tokens) < options.tokens_per_s
        or requests.capacity(requests.requests) < options.requests_per_s
    )


async def _measure(options: WebOptions, folder: Path) -> tuple[Carried, Carried]:
    conditions = Conditions(
        model=put_model(folder / "models", "Q4_1"),
        n_threads=1,
        n_seq_max=options.streams,
    )
    settings = (
        ("NULL_STEP_MS", str(options.step_ms)),
        # They would start in the middle of it, and are no part of a request.
        ("LLM_MANAGER_SERVER_SPARE_PROCESSES", "false"),
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    null = Ours("null engine", settings=settings, num_keys=1, program=NULL_ENGINE)
    async with null.running(conditions, data) as running:
        assert isinstance(running.target, HttpTarget)
        target = replace(running.target, keeps_alive=True)
        running = replace(running, target=target)
        tokens = await carried(running, options, max_tokens=options.tokens)
        requests = await carried(running, options, max_tokens=1)
        await target.aclose()
    return tokens, requests


async def carried(
    running: Running, options: WebOptions | UpstreamOptions, max_tokens: int
) -> Carried:
    """Keep all streams busy; return what came between the warm-up and the end."""
    call = Call((Message("user", _PROMPT),), max_tokens=max_tokens)
    count = _Count()
    clients = [
        asyncio.create_task(_ask_on(running.target, call, count))
        for _ in range(options.streams)
    ]
    try:
        await asyncio.sleep(_WARM_UP_S)
        used, start = running.processes.cpu_s(), clock()
        count.requests = count.tokens = 0
        ended, _ = await asyncio.wait(
            clients, timeout=options.seconds, return_when=asyncio.FIRST_EXCEPTION
        )
        for client in ended:
            client.result()
        took = clock() - start
        cpu: defaultdict[str, float] = defaultdict(float)
        for (role, pid), seconds in running.processes.cpu_s().items():
            cpu[role] += (seconds - used.get((role, pid), 0.0)) / took
        return Carried(count.requests / took, count.tokens / took, dict(cpu))
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@dataclass(slots=True)
class _Count:
    requests: int = 0
    tokens: int = 0

    def token(self) -> None:
        self.tokens += 1


async def _ask_on(target: Target, call: Call, count: _Count) -> None:
    while True:
        await target.ask(call, on_text=count.token)
        count.requests += 1


def _show(tokens: Carried, requests: Carried) -> None:
    table = Table(title="One web process with an engine that computes nothing")
    roles = ("web", "redis", "worker", "engine", "launcher")
    for title in ("", "a second", *roles, "one core of web carries"):
        table.add_column(title, justify="right" if title else "left")
    for name, carried, rate in (
        ("tokens", tokens, tokens.tokens),
        ("requests of one token", requests, requests.requests),
    ):
        shares = (f"{1e6 * carried.cpu.get(role, 0.0) / rate:.0f} µs" for role in roles)
        capacity = f"{carried.capacity(rate):.0f} a second"
        table.add_row(name, f"{rate:.0f}", *shares, capacity)
    Console(width=120).print(table)
    print("µs are CPU time for each; tokens carry their share of their requests.")
