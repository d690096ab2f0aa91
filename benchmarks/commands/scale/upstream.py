"""``python -m benchmarks upstream``: what passing on an upstream's tokens costs.

Clients ask the whole server in a closed loop for a model that an upstream serves: a
server beside it, which computes nothing and sends each token as an event of its own.
The CPU time is that of our web process.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.client.http_client import HttpTarget
from benchmarks.commands.scale.web import Carried, carried
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from benchmarks.systems.system import environment, free_port, server

if TYPE_CHECKING:
    from benchmarks.options.commands import UpstreamOptions

_NAME = "far"


def measure(options: UpstreamOptions) -> int:
    """Measure and print; return 1 if a token costs more than the limit."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        tokens, requests = asyncio.run(_measure(options, Path(folder)))
    request_ms = 1000 * requests.cpu["web"] / requests.requests
    token_ms = 1000 * tokens.cpu["web"] / tokens.tokens
    _show(options, tokens, requests)
    # A token without its share of the request, which pays for the first one, too.
    rest = options.tokens - 1
    alone_ms = (options.tokens * token_ms - request_ms) / rest
    print(
        f"A token costs {token_ms:.3f} ms of CPU with its share of its request, "
        f"{alone_ms:.3f} ms without; a request of one token {request_ms:.2f} ms."
    )
    return int(token_ms > options.limit_ms)


async def _measure(options: UpstreamOptions, folder: Path) -> tuple[Carried, Carried]:
    conditions = Conditions(
        model=put_model(folder / "models", "Q4_1"), n_threads=1, n_seq_max=1
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.systems.far_server"]
    far = server([*command, str(port), str(options.step_ms)], port, "/", folder / "far")
    settings = {
        "LLM_MANAGER_SERVER_RATE_LIMIT": "0",
        "LLM_MANAGER_UPSTREAMS_PRIVATE_HOSTS": "127.0.0.1",
    }
    ours = Ours(settings=tuple(settings.items()), num_keys=1)
    async with far, ours.running(conditions, data) as running:
        env = environment(LLM_MANAGER_DATA_DIR=str(data), **settings)
        await _add(["upstream", "add", "there", f"http://127.0.0.1:{port}/v1"], env)
        await _add(["upstream", "add-model", _NAME, "there", "far-away"], env)
        assert isinstance(running.target, HttpTarget)
        target = replace(running.target, model=_NAME, keeps_alive=True)
        running = replace(running, target=target)
        tokens = await carried(running, options, max_tokens=options.tokens)
        requests = await carried(running, options, max_tokens=1)
        await target.aclose()
    return tokens, requests


async def _add(arguments: list[str], env: dict[str, str]) -> None:
    adding = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llm_manager", *arguments),
        env=env,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    _, problem = await adding.communicate()
    if adding.returncode != 0:
        raise SystemExit(f"No upstream could be added: {problem.decode()}")


def _show(options: UpstreamOptions, tokens: Carried, requests: Carried) -> None:
    table = Table(title=f"Passed on from an upstream, {options.streams} streams")
    for title in ("", "a second", "web", "one core of web carries"):
        table.add_column(title, justify="right" if title else "left")
    for name, found, rate in (
        ("tokens", tokens, tokens.tokens),
        ("requests of one token", requests, requests.requests),
    ):
        cost = f"{1e6 * found.cpu['web'] / rate:.0f} µs"
        capacity = f"{found.capacity(rate):.0f} a second"
        table.add_row(name, f"{rate:.0f}", cost, capacity)
    Console(width=100).print(table)
