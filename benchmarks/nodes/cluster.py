"""Web processes and engine nodes with one Redis and one PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.client.answers import clock
from benchmarks.faults.clients import Api
from benchmarks.nodes.failing_over import FailingOver
from benchmarks.nodes.part import Part
from benchmarks.nodes.places import Places, places
from benchmarks.nodes.services import RedisServer, query
from benchmarks.systems.ours import settings
from benchmarks.systems.postgresql import PostgreSQL, running_postgresql
from benchmarks.systems.system import environment, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.model import Conditions

_DATABASE = "nodes"
#: How long anything may take that has to come in the end.
PATIENCE_S = 180.0
_POLL_S = 0.1


@dataclass(slots=True)
class Cluster:
    """What runs. ``database`` is PostgreSQL's URL, ``api`` asks all web processes."""

    webs: list[Part]
    engines: list[Part]
    redis: RedisServer | FailingOver
    postgresql: PostgreSQL
    database: str
    places: Places
    api: Api
    replicas: int

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return query(self.database, sql)

    def serving(self) -> list[Part]:
        """Return the nodes that have the model, the one of the first replica first."""
        rows = self.rows(
            "SELECT n.name FROM inference_worker w JOIN inference_enginenode n "
            "ON n.id = w.node_id WHERE w.state = 'ready' ORDER BY w.replica"
        )
        by_name = {engine.name: engine for engine in self.engines}
        return [by_name[row["name"]] for row in rows]

    def owners(self) -> str:
        """Return what is wrong between rows and worker processes; "" if nothing is.

        Each replica has one row, each row one process on the node that it names, and
        there is no other process.
        """
        rows = self.rows(
            "SELECT n.name, w.pid, w.state FROM inference_worker w "
            "LEFT JOIN inference_enginenode n ON n.id = w.node_id"
        )
        claimed = {(row["name"], row["pid"]) for row in rows}
        running = {(node.name, pid) for node in self.engines for pid in node.workers()}
        states = [row["state"] for row in rows]
        if claimed == running and states == ["ready"] * self.replicas:
            return ""
        return f"rows {sorted(map(str, rows))}, processes {sorted(running)}"

    async def settle(self) -> str:
        """Wait until rows and processes agree; return what is wrong if they never do.

        They agree twice in a row: one moment may be before a change.
        """
        agreed, deadline = 0, clock() + PATIENCE_S
        while agreed < 2 and clock() < deadline:
            agreed = agreed + 1 if not self.owners() else 0
            await asyncio.sleep(1.0)
        return "" if agreed == 2 else self.owners()

    async def start_missing(self) -> None:
        """Start the parts again that have ended, and wait until they work."""
        parts = [*self.webs, *self.engines]
        missing = [part for part in parts if not part.is_running]
        for part in missing:
            await part.start()
        await self.ready(*missing)

    async def ready(self, *parts: Part) -> None:
        """Wait until these parts work. Raises SystemExit with the log of one."""
        for part in parts:
            look = self._is_web_ready if part in self.webs else self._is_engine_ready
            deadline = clock() + PATIENCE_S
            while not await look(part):
                if not part.is_running or clock() > deadline:
                    log = part.log.read_text(encoding="utf-8", errors="replace")
                    raise SystemExit(f"{part.name} did not start:\n{log[-4000:]}")
                await asyncio.sleep(_POLL_S)

    async def _is_web_ready(self, part: Part) -> bool:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{_url(part)}/health", timeout=30)
                return answer.status_code == 200
        return False

    async def _is_engine_ready(self, part: Part) -> bool:
        rows = self.rows("SELECT name, pid FROM inference_enginenode")
        return {"name": part.name, "pid": part.pid} in rows


@asynccontextmanager
async def cluster(
    conditions: Conditions,
    folder: Path,
    *,
    webs: int = 2,
    engines: int = 3,
    replicas: int = 2,
    fails_over: bool = False,
    **more: str,
) -> AsyncIterator[Cluster]:
    """Run it. ``more`` are settings of all parts.

    With ``fails_over`` it finds Redis by a Sentinel. Raises FileNotFoundError without
    PostgreSQL or Redis.
    """
    async with AsyncExitStack() as running:
        found = running.enter_context(places(webs + engines))
        port = free_port()
        postgresql = running.enter_context(
            running_postgresql(_DATABASE, host=found.database_host, port=port)
        )
        database = postgresql.network_url(found.database_host, port, _DATABASE)
        redis: RedisServer | FailingOver = (
            FailingOver(found.redis_host, folder)
            if fails_over
            else RedisServer(found.redis_host, free_port(), folder)
        )
        running.push_async_callback(redis.kill)
        await redis.start()
        env = environment(
            **settings(conditions),
            DATABASE_URL=database,
            REDIS_URL=redis.url,
            LLM_MANAGER_SECRET_KEY=secrets.token_urlsafe(50),
            LLM_MANAGER_SERVER_ALLOWED_HOSTS="*",
            LLM_MANAGER_SERVER_SPARE_PROCESSES="false",
            **more,
        )
        key = await _set_up(env | _data_dir(folder / "first"), replicas)
        parts = []
        for number, place in enumerate(found.parts):
            web = ("web", "--host", place.host, "--port", str(place.port))
            words = web if number < webs else ("run_engine",)
            home = folder / place.name
            parts.append(
                Part(
                    place,
                    place.command(*words),
                    env | _data_dir(home),
                    folder / f"{place.name}.log",
                )
            )
        made = Cluster(
            parts[:webs],
            parts[webs:],
            redis,
            postgresql,
            database,
            found,
            Api(tuple(map(_url, parts[:webs])), key, conditions.model.name),
            replicas,
        )
        for part in parts:
            await part.start()
            running.push_async_callback(part.stop)
        await made.ready(*parts)
        yield made


def _url(part: Part) -> str:
    return f"http://{part.place.host}:{part.place.port}"


def _data_dir(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return {"LLM_MANAGER_DATA_DIR": str(home)}


async def _set_up(env: dict[str, str], replicas: int) -> str:
    """Make the tables and a key; return the key."""
    program = (sys.executable, "-m", "benchmarks.nodes.setting_up", str(replicas))
    maker = await asyncio.create_subprocess_exec(
        *program,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    secret, problem = await maker.communicate()
    if maker.returncode != 0:
        raise SystemExit(f"The database cannot be set up: {problem.decode()[-4000:]}")
    return secret.decode().strip()
