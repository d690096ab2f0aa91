"""A worker's relay to the RPC servers of its model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any, Self

from inference.rpc.errors import RpcError
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Sequence


class ServerLost(RpcError):
    """An RPC server cannot be used, or not any more; ``server`` is its address."""

    def __init__(self, message: str, server: str) -> None:
        super().__init__(message)
        self.server = server


class Relay:
    """The process ``inference.rpc.relay``; ``sockets`` is where llama.cpp connects."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.sockets: tuple[str, ...] = ()

    @classmethod
    async def start(cls, servers: Sequence[str], secret: str, holder: str) -> Self:
        """Start it, and hold all servers. Raises ServerLost, OSError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference.rpc.relay",
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": python_path()},
        )
        relay = cls(process)
        assert process.stdin is not None  # noqa: S101 - a pipe
        spec = {"servers": list(servers), "secret": secret, "holder": holder}
        process.stdin.write(json.dumps(spec).encode() + b"\n")
        said = await relay._said()
        if "ready" not in said:
            raise ServerLost(str(said["failed"]), str(said["server"]))
        relay.sockets = tuple(said["ready"])
        return relay

    async def wait(self) -> ServerLost:
        """Wait until a server is lost; return which, and how."""
        said = await self._said()
        return ServerLost(str(said.get("lost") or said["failed"]), str(said["server"]))

    async def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        text = await self._process.stdout.readline()
        if not text:
            return {"failed": "The relay to the RPC servers ended.", "server": ""}
        found: dict[str, Any] = json.loads(text)
        return found
