"""LLM Manager as it is deployed: web process, Redis, engine and worker."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.client.http_client import HttpTarget
from benchmarks.systems.system import (
    Running,
    environment,
    free_port,
    process,
    start_failed,
)
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.model import Conditions

#: Words of a command line, and the role of the process that has them.
_ROLES = (
    ("redis-server", "redis"),
    ("inference.worker.main", "worker"),
    ("null_engine.worker", "worker"),
    ("null_engine.engine", "engine"),
    ("null_engine.server", "launcher"),
    ("run_engine", "engine"),
    ("web", "web"),
)
#: The server with an engine that computes nothing.
NULL_ENGINE = "benchmarks.systems.null_engine.server"
#: A line of the start-up banner that comes once everything answers.
READY = b"curl"
_MAX_KV_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ours:
    """The whole server, started by one command, with some settings if need be."""

    name: str = "ours"
    settings: tuple[tuple[str, str], ...] = ()
    num_keys: int = 3
    program: str = "llm_manager"

    def missing(self) -> str | None:
        """It is always there."""
        return None

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        """Start it with a database of its own and make its keys."""
        port = free_port()
        env = environment(
            LLM_MANAGER_DATA_DIR=str(folder),
            **settings(conditions),
            **dict(self.settings),
        )
        program = [sys.executable, "-m", "llm_manager"]
        server = [sys.executable, "-m", self.program]
        command = [*server, "server", "--quickstart", "--port", str(port)]
        log = folder / "log"
        async with process(command, log, env, stdout=PIPE) as started:
            assert started.stdout is not None
            async for line in started.stdout:
                if READY in line:
                    break
            else:
                raise SystemExit(start_failed(command, log))
            first = json.loads((folder / "quickstart.json").read_text())["api_key"]
            others = [
                await _make_key(program, f"bench-{number}", env)
                for number in range(1, self.num_keys)
            ]
            yield Running(
                HttpTarget(port, conditions.model.name, (first, *others)),
                ProcessTree(started.pid, role),
            )


def settings(conditions: Conditions) -> dict[str, str]:
    """Return the settings for these conditions, as environment variables."""
    return {
        "LLM_MANAGER_MODELS_DIR": str(conditions.model.parent),
        "LLM_MANAGER_MODELS_DEFAULT_CTX": str(conditions.n_ctx),
        "LLM_MANAGER_ENGINE_N_SEQ_MAX": str(conditions.n_seq_max),
        "LLM_MANAGER_ENGINE_N_BATCH": str(conditions.n_batch),
        "LLM_MANAGER_ENGINE_N_THREADS": str(conditions.n_threads),
        # As many sequences as were asked for, whatever they take.
        "LLM_MANAGER_ENGINE_KV_MEMORY_MB": str(_MAX_KV_MIB),
        "LLM_MANAGER_LOGGING_LEVEL": "warning",
    }


def role(command: list[str]) -> str:
    """Return what a process of ours does."""
    line = " ".join(command)
    return next((role for word, role in _ROLES if word in line), "launcher")


async def _make_key(program: list[str], name: str, env: dict[str, str]) -> str:
    maker = await asyncio.create_subprocess_exec(
        *program,
        *("key", "create", "--name", name, "--owner", "admin"),
        *("--rate-limit", "0"),
        env=env,
        stdout=PIPE,
        stderr=PIPE,
    )
    secret, problem = await maker.communicate()
    if maker.returncode != 0:
        raise SystemExit(f"No API key could be made: {problem.decode()}")
    return secret.decode().strip()
