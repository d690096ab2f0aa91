"""llama-cpp-python's two servers: the example that batches, and the one it installs."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.client.http_client import HttpTarget
from benchmarks.systems.system import (
    HOW_TO_GET_PEERS,
    PEERS,
    PEERS_ARE_BUILT,
    Running,
    environment,
    free_port,
    server,
)
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.model import Conditions

_PYTHON = PEERS / "venv" / "bin" / "python"
_EXAMPLE = PEERS / "example_server.py"


@dataclass(frozen=True, slots=True)
class ExampleServer:
    """examples/server/server.py, which batches and has a prefix cache."""

    name: str = "example"
    num_keys: int = 1

    def missing(self) -> str | None:
        """Return how to get it if it is not there."""
        return _missing()

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        """Start it with its own way of sharing the context: one unified cache."""
        port = free_port()
        config = folder / "config.json"
        config.write_text(
            json.dumps(
                {
                    "server": {"host": "127.0.0.1", "port": port},
                    "model": {
                        "path": str(conditions.model),
                        "n_ctx": conditions.n_ctx * conditions.n_seq_max,
                        "n_seq_max": conditions.n_seq_max,
                        "n_batch": conditions.n_batch,
                        "n_ubatch": conditions.n_batch,
                        "threads": conditions.n_threads,
                        "threads_batch": conditions.n_threads,
                        "store_logits": False,
                    },
                }
            )
        )
        async with _python_server(
            [str(_EXAMPLE), "--config-file", str(config)], port, "/healthz", folder
        ) as processes:
            target = HttpTarget(port, conditions.model.name, has_usage=False)
            yield Running(target, processes)


@dataclass(frozen=True, slots=True)
class StockServer:
    """``python -m llama_cpp.server``: one request at a time, the others wait."""

    name: str = "stock"
    num_keys: int = 1

    def missing(self) -> str | None:
        """Return how to get it if it is not there."""
        return _missing()

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        """Start it; a request must not interrupt the one before, as by default."""
        port = free_port()
        threads = str(conditions.n_threads)
        batch = str(conditions.n_batch)
        command = [
            *("-m", "llama_cpp.server", "--model", str(conditions.model)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *(
                "--n_ctx",
                str(conditions.n_ctx),
                "--n_batch",
                batch,
                "--n_ubatch",
                batch,
            ),
            *("--n_threads", threads, "--n_threads_batch", threads),
            *("--interrupt_requests", "false", "--verbose", "false"),
        ]
        async with _python_server(command, port, "/v1/models", folder) as processes:
            target = HttpTarget(port, conditions.model.name, has_usage=False)
            yield Running(target, processes)


def _missing() -> str | None:
    return None if PEERS_ARE_BUILT.exists() else HOW_TO_GET_PEERS


@asynccontextmanager
async def _python_server(
    arguments: list[str], port: int, health: str, folder: Path
) -> AsyncIterator[ProcessTree]:
    """Run a server in the peers' own environment."""
    # The example insists on multimodal support, which ours is built without.
    env = environment(MTMD_CPP_LIB=str(PEERS / "bin"))
    # Ours is another environment.
    del env["PYTHONPATH"]
    command = [str(_PYTHON), *arguments]
    async with server(command, port, health, folder / "log", env) as started:
        yield ProcessTree(started.pid, lambda _command: "server")
