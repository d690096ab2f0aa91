"""Two nodes with one Redis and one PostgreSQL, and what happens to one of them."""

from __future__ import annotations

import json
import secrets
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.client.answers import clock
from benchmarks.faults.clients import Api, answers
from benchmarks.faults.fault import PARTS, Fault, Place, frozen, killed
from benchmarks.faults.network import (
    DATABASE_HOST,
    REDIS_HOST,
    Machine,
    cut_off,
    machines,
)
from benchmarks.systems.ours import READY, role, settings
from benchmarks.systems.postgresql import PostgreSQL, running_postgresql
from benchmarks.systems.system import environment, free_port, process, start_failed
from benchmarks.systems.usage import ProcessTree
from llm_manager.launcher.redis_process import find_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.model import Conditions

_PORT = 8000
#: What happens to whom, and for how many seconds, by a fault's name.
NODE_FAULTS = {
    "one of two nodes killed": ("one of two nodes", "killed", 0.0),
    "one of two nodes frozen for 20 s": ("one of two nodes", "frozen", 20.0),
    "one of two nodes cut off for 20 s": ("one of two nodes", "cut off", 20.0),
    "PostgreSQL of two nodes away for 20 s": ("PostgreSQL of two nodes", "away", 20.0),
}
_LOAD_LIMIT_S = 60.0
_DATABASE = "nodes"
_NODE = (*PARTS, "launcher")


@dataclass(frozen=True, slots=True)
class TwoNodes:
    """Both run. The first one has the model, and half of the clients.

    ``start_s`` is how long the second one took to start, beside the first.
    """

    api: Api
    first: Machine
    processes: ProcessTree
    postgresql: PostgreSQL
    start_s: float

    def fault(self, name: str) -> Fault:
        """Return one of NODE_FAULTS."""
        database = ProcessTree(self.postgresql.pid, _postgresql)
        what, how, seconds = NODE_FAULTS[name]
        inflict: dict[str, Callable[[Place], AbstractContextManager[None]]] = {
            "killed": partial(killed, roles=_NODE),
            "frozen": partial(frozen, roles=_NODE),
            "cut off": lambda _: cut_off(self.first),
            "away": lambda place: frozen(
                replace(place, processes=database), roles=(_DATABASE,)
            ),
        }
        return Fault(what, how, seconds, inflict[how])


@asynccontextmanager
async def two_nodes(conditions: Conditions, folder: Path) -> AsyncIterator[TwoNodes]:
    """Run both; the model is loaded by the first request, on the first node.

    Raises NotPermitted without namespaces, FileNotFoundError without PostgreSQL.
    """
    port, redis_port = free_port(), free_port()
    async with AsyncExitStack() as running:
        first, second = running.enter_context(machines(2))
        postgresql = running.enter_context(
            running_postgresql(_DATABASE, host=DATABASE_HOST, port=port)
        )
        server = find_server()
        if server is None:
            raise FileNotFoundError("no redis-server: apt install redis-server")
        redis = [str(server), "--port", str(redis_port), "--bind", REDIS_HOST]
        redis += ["--protected-mode", "no", "--save", "", "--dir", str(folder)]
        await running.enter_async_context(process(redis, folder / "redis.log"))
        env = environment(
            **settings(conditions),
            DATABASE_URL=postgresql.network_url(DATABASE_HOST, port, _DATABASE),
            REDIS_URL=f"redis://{REDIS_HOST}:{redis_port}",
            LLM_MANAGER_SECRET_KEY=secrets.token_urlsafe(50),
        )
        pid = await running.enter_async_context(_node(first, folder, env))
        credentials = json.loads((folder / first.name / "quickstart.json").read_text())
        urls = tuple(f"http://{machine.host}:{_PORT}" for machine in (first, second))
        api = Api(urls, credentials["api_key"], conditions.model.name)
        # While the second one is not there, the model is loaded by the first.
        if await answers(replace(api, base_urls=urls[:1]), _LOAD_LIMIT_S) is None:
            raise SystemExit("The first of two nodes does not answer.")
        begin = clock()
        await running.enter_async_context(_node(second, folder, env))
        start_s = clock() - begin
        yield TwoNodes(api, first, ProcessTree(pid, role), postgresql, start_s)


@asynccontextmanager
async def _node(
    machine: Machine, folder: Path, env: dict[str, str]
) -> AsyncIterator[int]:
    """Run one node's processes; yield the first one's pid when they answer."""
    home = folder / machine.name
    home.mkdir()
    program = [sys.executable, "-m", "llm_manager", "server", "--quickstart"]
    program += ["--host", machine.host, "--port", str(_PORT), "--data-dir", str(home)]
    command, log = machine.command(*program), home / "log"
    async with process(command, log, env, stdout=PIPE) as started:
        assert started.stdout is not None
        async for line in started.stdout:
            if READY in line:
                break
        else:
            raise SystemExit(start_failed(command, log))
        yield started.pid


def _postgresql(command: list[str]) -> str:
    return _DATABASE
