"""Redis and PostgreSQL for several machines, which may be restarted."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from llm_manager.launcher.redis_process import find_server

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path


@dataclass(slots=True)
class RedisServer:
    """A Redis that keeps nothing. ``more`` are further options of its command line."""

    host: str
    port: int
    folder: Path
    more: tuple[str, ...] = ()
    process: Process | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{self.host}:{self.port}"

    async def start(self) -> None:
        """Start it, empty. Raises FileNotFoundError."""
        server = find_server()
        if server is None:
            raise FileNotFoundError("no redis-server: apt install redis-server")
        command = [str(server), "--port", str(self.port), "--bind", self.host]
        command += ["--protected-mode", "no", "--save", "", "--dir", str(self.folder)]
        with (self.folder / f"redis-{self.port}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, *self.more, stdin=DEVNULL, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        """Kill it; what it had is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def query(url: str, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query on a database."""
    with (
        psycopg.connect(url, row_factory=dict_row) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql.encode())
        return cursor.fetchall()
