"""Two Redis servers and a Sentinel that makes the second one the master."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from benchmarks.nodes.services import RedisServer
from benchmarks.systems.system import free_port
from llm_manager.launcher.redis_process import find_server

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

_MASTER = "main"
#: How soon the Sentinel believes that the master is gone.
_DOWN_AFTER_MS = 1000
_POLL_S = 0.1
_READY_WITHIN_S = 60.0


@dataclass(slots=True)
class FailingOver:
    """A master with a replica; ``url`` is that of their Sentinel."""

    host: str
    folder: Path
    master: RedisServer = field(init=False)
    replica: RedisServer = field(init=False)
    port: int = field(default_factory=free_port)
    process: Process | None = None

    def __post_init__(self) -> None:
        self.master = RedisServer(self.host, free_port(), self.folder)
        follow = ("--replicaof", self.host, str(self.master.port))
        self.replica = RedisServer(self.host, free_port(), self.folder, more=follow)

    @property
    def url(self) -> str:
        """Where the Sentinel is, and its name for the master."""
        return f"redis+sentinel://{self.host}:{self.port}/{_MASTER}"

    async def start(self) -> None:
        """Start all three, and wait until the Sentinel knows the replica."""
        server = find_server()
        if server is None:
            raise FileNotFoundError("no redis-server: apt install redis-server")
        await self.master.start()
        await self.replica.start()
        file = self.folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind {self.host}\nprotected-mode no\n"
            f"sentinel monitor {_MASTER} {self.host} {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {_MASTER} {_DOWN_AFTER_MS}\n",
            encoding="utf-8",
        )
        with (self.folder / "sentinel.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(server), str(file), "--sentinel", stdin=DEVNULL, stdout=log
            )
        async with asyncio.timeout(_READY_WITHIN_S):
            while not await self._has_replica():  # noqa: ASYNC110 - it is elsewhere
                await asyncio.sleep(_POLL_S)

    async def fail(self) -> None:
        """Kill the master."""
        await self.master.kill()

    async def kill(self) -> None:
        """Kill all three."""
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
        await self.master.kill()
        await self.replica.kill()

    async def _has_replica(self) -> bool:
        """Whether the replica is level, and known to the Sentinel."""
        try:
            async with Redis(host=self.host, port=self.replica.port) as replica:
                link = (await replica.info("replication")).get("master_link_status")
            async with Redis(host=self.host, port=self.port) as sentinel:
                asked: Any = sentinel
                known = await asked.sentinel_slaves(_MASTER)
        except RedisError:
            return False
        return link == "up" and len(known) == 1
