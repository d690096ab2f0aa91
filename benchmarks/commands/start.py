"""``python -m benchmarks start``: how soon an answer begins.

The whole server is started as by ``make run``: from there to the first token of its
first answer is the cold start. Then the model is unloaded, and a request loads it
again, when a spare worker process has had the time to start. The time that reading the
model's bytes from the page cache takes is what no load can beat.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, clock
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours, settings
from benchmarks.systems.system import environment
from benchmarks.workloads.random_model import SHAPES, write_random_model
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from benchmarks.client.http_client import HttpTarget
    from benchmarks.options.commands import StartOptions

_CALL = Call((Message("user", "Hi"),), max_tokens=1)
_POLL_S = 0.05
_UNLOADED_WITHIN_S = 120


def measure(options: StartOptions) -> int:
    """Measure and print; return 0."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        conditions = Conditions(
            model=_put_model(folder / "models", options), n_threads=physical_cores()
        )
        cold: list[float] = []
        unloaded: list[float] = []
        read = []
        for number in range(options.rounds):
            data = folder / f"data-{number}"
            data.mkdir(mode=0o700)
            asyncio.run(_round(conditions, data, options.rest, cold, unloaded))
            read.append(_read_s(conditions.model))
    _show({"cold": cold, "unloaded": unloaded, "read": read})
    return 0


def _put_model(folder: Path, options: StartOptions) -> Path:
    if options.shape is None:
        return put_model(folder, options.quantization)
    folder.mkdir()
    file = folder / f"random-{options.shape}.gguf"
    write_random_model(file, SHAPES[options.shape], "Q8_0")
    return file


async def _round(
    conditions: Conditions,
    data: Path,
    rest_s: float,
    cold: list[float],
    unloaded: list[float],
) -> None:
    begun = clock()
    # No other keys, which take their time.
    async with Ours(num_keys=1).running(conditions, data) as running:
        target: HttpTarget = running.target  # type: ignore[assignment]
        answer = await target.ask(_CALL)
        cold.append(answer.arrivals_s[0] - begun)
        await _unload(target, conditions, data)
        await asyncio.sleep(rest_s)
        unloaded.append((await target.ask(_CALL)).ttft_s)


async def _unload(target: HttpTarget, conditions: Conditions, data: Path) -> None:
    """Unload the model, and wait until it is. Raises TimeoutError."""
    program = (sys.executable, "-m", "llm_manager", "unload", target.model)
    env = environment(LLM_MANAGER_DATA_DIR=str(data), **settings(conditions))
    done = await asyncio.create_subprocess_exec(*program, env=env, stdout=DEVNULL)
    if await done.wait():
        raise SystemExit(f"{target.model} cannot be unloaded.")
    await asyncio.to_thread(_wait_until_unloaded, target)


def _wait_until_unloaded(target: HttpTarget) -> None:
    limit = clock() + _UNLOADED_WITHIN_S
    while _state(target) != "unloaded":
        if clock() > limit:
            raise TimeoutError(f"{target.model} is not unloaded.")
        time.sleep(_POLL_S)


def _state(target: HttpTarget) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}/v1/models/{target.model}",
        headers={"Authorization": f"Bearer {target.keys[0]}"},
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310 - of this machine
        return str(json.load(response)["state"])


def _read_s(file: Path) -> float:
    """Return the seconds that reading a file takes that was read before."""
    file.read_bytes()
    begun = clock()
    file.read_bytes()
    return clock() - begun


def _show(found: dict[str, list[float]]) -> None:
    names = {
        "cold": "from the start of the server to the first token",
        "unloaded": "from a request to the first token, the model not loaded",
        "read": "reading the model's file from the page cache",
    }
    table = Table(title="Seconds, the median and all rounds")
    for title in ("what", "median", "rounds"):
        table.add_column(title)
    for name, seconds in found.items():
        rounds = ", ".join(f"{each:.2f}" for each in seconds)
        table.add_row(names[name], f"{statistics.median(seconds):.2f}", rounds)
    Console(width=120).print(table)
