"""``python -m benchmarks usage``: what rows of usage cost, and what kills leave."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import process_time, sleep
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.client.http_client import HttpTarget
from benchmarks.faults.clients import Api
from benchmarks.faults.fault import Fault, Place, killed, locked
from benchmarks.faults.usage_long_run import run_long
from benchmarks.faults.usage_trial import compare, load_until_killed, try_usage
from benchmarks.model import Conditions, put_model
from benchmarks.systems import postgresql
from benchmarks.systems.ours import Ours
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.faults.usage_trial import UsageResult
    from benchmarks.options.commands import UsageOptions
    from benchmarks.systems import Running

SERVER = Ours(num_keys=2, settings=(("LLM_MANAGER_SERVER_WORKERS", "2"),))
FAULTS = [
    *(
        Fault(part, "killed", 0, partial(killed, roles=(part,)))
        for part in ("web", "engine", "worker", "redis")
    ),
    Fault("database", "locked", 60, locked),
]
LAUNCHER = Fault("launcher", "killed", 0, partial(killed, roles=("launcher",)))
_REQUESTS = 4_000
_KILL_EVERY_S = 120.0
_ROUNDS = 3


def measure(options: UsageOptions) -> int:
    """Measure the chosen parts; return 1 if a row is missing, doubled or wrong."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="llmm-usage-") as name:
        folder = Path(name)
        if options.is_postgresql:
            with postgresql.running_postgresql("usage") as server:
                _measure_database(options, folder, console, server.url("usage"))
        else:
            _measure_database(options, folder, console, "")
        good = []
        if "kills" in options.parts:
            results = asyncio.run(_kills(options, folder, console))
            good += [result.is_good for result in results]
        if "long" in options.parts:
            good.append(asyncio.run(_long(options, folder, console)))
    return 0 if all(good) else 1


def _measure_database(
    options: UsageOptions, folder: Path, console: Console, url: str
) -> None:
    """Measure cost and rows in a database of this command's own; "" is SQLite."""
    if not {"cost", "rows"} & set(options.parts):
        return
    os.environ["LLM_MANAGER_DATA_DIR"] = str(folder / "data")
    os.environ["LLM_MANAGER_DATABASE_URL"] = os.environ["DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "llm_manager.settings"
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    if "cost" in options.parts:
        _print_cost(console, folder)
        call_command("flush", verbosity=0, interactive=False)
    if "rows" in options.parts:
        from benchmarks.workloads.usage_rows import print_times

        # Some of the pages ask it.
        with _redis():
            print_times(console, options.rows)
    connection.close()
    # The servers of the kills have databases of their own.
    del os.environ["LLM_MANAGER_DATABASE_URL"], os.environ["DATABASE_URL"]


@contextmanager
def _redis() -> Iterator[None]:
    """Run a Redis where the data directory's private one is looked for."""
    from llm_manager.config.redis_socket import socket_path
    from llm_manager.launcher.redis_process import find_server, ping

    path = socket_path(Path(os.environ["LLM_MANAGER_DATA_DIR"]))
    program = find_server()
    if program is None:
        raise SystemExit("There is no redis-server on PATH.")
    command = [str(program), "--port", "0", "--save", "", "--unixsocket", str(path)]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not path.exists() and redis.poll() is None:
            sleep(0.05)
        ping(f"unix://{path}")
        yield
    finally:
        redis.terminate()
        redis.wait()


def _print_cost(console: Console, folder: Path) -> None:
    """Print what a request costs on the event loop, and what its row costs."""
    from accounts.usage.ingester import Ingester
    from accounts.usage.journal import Journal

    loop_us, row_us = [], []
    for number in range(_ROUNDS):
        home = folder / f"journal{number}"
        journal = Journal(home)
        ingester = Ingester(journal, home)
        loop_us.append(_cpu_us(partial(_write_requests, journal)))
        row_us.append(_cpu_us(ingester.look))
        journal.close(remove=True)
    console.print(
        f"CPU time of a request, {_REQUESTS:,} of them, median of {_ROUNDS} rounds: "
        f"{statistics.median(loop_us):.1f} µs on the event loop, "
        f"{statistics.median(row_us):.1f} µs to store its row, in the background."
    )


def _cpu_us(work: Callable[[], None]) -> float:
    start = process_time()
    work()
    return (process_time() - start) / _REQUESTS * 1e6


def _write_requests(journal: Any) -> None:
    """Record requests as the API does: accepted, and over."""
    from django.test import RequestFactory

    from accounts.usage.recorder import usage_recorder
    from inference.api.accounting.recording import Recording
    from inference.api.streaming.token_counts import TokenCounts

    request = RequestFactory().post("/v1/chat/completions")
    counts = TokenCounts(prompt=400, cached=380, completion=60)
    usage_recorder._journal = journal
    usage_recorder._wait = lambda: None  # type: ignore[method-assign]
    for _ in range(_REQUESTS):
        recording = Recording(request)
        recording._has_caller = True
        recording._fields.update(_SUBJECT)
        recording.counts(lambda: (counts, "stop"))
        recording.accept(is_stream=True)
        recording.finish(200)
    usage_recorder._journal = None


_SUBJECT = {
    "key_id": 1,
    "key_prefix": "sk-llmm-0123456789ab",
    "key_name": "a key of some team",
    "owner_id": 1,
    "owner_name": "somebody@example.org",
    "team_id": 1,
    "team_name": "a team",
    "model_id": 1,
    "model_name": "SmolLM2-135M-Instruct.Q4_1",
    "model_asked": "SmolLM2-135M-Instruct.Q4_1",
}


async def _long(options: UsageOptions, folder: Path, console: Console) -> bool:
    """Load a server for long, with kills; return whether rows and counters agree."""
    home = folder / "long"
    home.mkdir()
    async with SERVER.running(_conditions(options, folder), home) as running:
        api, place = api_of(running), Place(running.processes, home)
        kills = [fault for fault in FAULTS if fault.how == "killed"]
        run = await run_long(
            api, place, kills, minutes=options.minutes, every_s=_KILL_EVERY_S
        )
    console.print(usage_row(run.result), markup=False, soft_wrap=True)
    for example in run.result.examples:
        console.print(f"WRONG: {example}", markup=False)
    for name in ("requests", "prompt", "output"):
        rows, workers = getattr(run.rows, name), getattr(run.workers, name)
        console.print(
            f"{name}: rows {rows:,}, workers {workers:,}, "
            f"difference {rows - workers:+,}; "
            f"ran at kills: {getattr(run.at_kills, name):,}"
        )
    return run.is_good


def _conditions(options: UsageOptions, folder: Path) -> Conditions:
    return Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
    )


async def _kills(
    options: UsageOptions, folder: Path, console: Console
) -> list[UsageResult]:
    conditions = _conditions(options, folder)
    home = folder / "server"
    home.mkdir()
    results: list[UsageResult] = []

    def found(result: UsageResult) -> None:
        results.append(result)
        console.print(usage_row(result), markup=False, soft_wrap=True)
        for example in result.examples:
            console.print(f"WRONG: {example}", markup=False)

    async with SERVER.running(conditions, home) as running:
        api, place = api_of(running), Place(running.processes, home)
        for fault in FAULTS:
            found(await try_usage(api, fault, place))
        sent = await load_until_killed(api, LAUNCHER, place)
    async with SERVER.running(conditions, home):
        found(await compare(LAUNCHER.name, sent, home / "db.sqlite3"))
    return results


def api_of(running: Running) -> Api:
    """Return the server's API with a key that has no rate limit."""
    target = running.target
    assert isinstance(target, HttpTarget)
    return Api((f"http://127.0.0.1:{target.port}",), target.keys[1], target.model)


def usage_row(result: UsageResult) -> str:
    """Return a result as a row of a table."""
    names = ("whole", "refused", "left", "cut", "unsure")
    ends = " | ".join(str(result.ends[name]) for name in names)
    wrong = ", ".join(f"{n} {what}" for what, n in result.faults.items()) or "none"
    days = "equal" if result.are_days_right else "other"
    return f"| {result.fault} | {ends} | {result.rows} | {wrong} | {days} |"
