"""llama.cpp's own server."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.client.http_client import HttpTarget
from benchmarks.systems.system import (
    HOW_TO_GET_PEERS,
    PEERS,
    Running,
    free_port,
    server,
)
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.model import Conditions

_KEYS = ("first", "second")


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama-server with some settings beside those that all systems share."""

    name: str
    arguments: tuple[str, ...]
    num_keys: int = len(_KEYS)

    def missing(self) -> str | None:
        """Return how to get it if it is not there."""
        if program().exists():
            return None
        return f"{HOW_TO_GET_PEERS}, or LLAMA_SERVER names one"

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        """Start it with a slot and a context for every sequence."""
        port = free_port()
        threads = str(conditions.n_threads)
        batch = str(conditions.n_batch)
        command = [
            *(str(program()), "--model", str(conditions.model)),
            *("--host", "127.0.0.1", "--port", str(port), "--api-key", ",".join(_KEYS)),
            *("--parallel", str(conditions.n_seq_max)),
            *("--ctx-size", str(conditions.n_ctx * conditions.n_seq_max)),
            *("--batch-size", batch, "--ubatch-size", batch),
            *("--threads", threads, "--threads-batch", threads),
            *("--no-webui", "--flash-attn", "auto"),
            *self.arguments,
        ]
        async with server(command, port, "/health", folder / "log") as started:
            yield Running(
                HttpTarget(port, conditions.model.name, _KEYS),
                ProcessTree(started.pid, lambda _command: "server"),
            )


def program() -> Path:
    """Return where it is, or would be."""
    return Path(os.environ.get("LLAMA_SERVER") or PEERS / "bin" / "llama-server")
