"""``python -m benchmarks schemas``: answers that have to match a schema.

Of 50 schemas: the tokens of an answer, the share that ends by itself, the seconds of an
answer. At temperature 0, one after another.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import WrongAnswer, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.systems.llama_server import LlamaServer
from benchmarks.systems.ours import Ours
from benchmarks.workloads.schemas import SCHEMAS, Wanted
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.options.commands import SchemaOptions
    from benchmarks.systems import System

_CONTEXT = 2048
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Matched:
    """An answer: its tokens, its finish reason, and its seconds."""

    tokens: int
    reason: str
    seconds: float


def measure(options: SchemaOptions) -> int:
    """Measure and print; return the exit status."""
    systems: list[System] = [
        Ours(),
        Ours("ours, flexible", (("LLM_MANAGER_GENERATION_JSON_STYLE", "flexible"),)),
        LlamaServer("llama-server", ()),
    ]
    present = [system for system in systems if system.missing() is None]
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        model = put_model(folder / "models", "Q4_1")
        if options.model is not None:
            model.unlink()
            model = Path(shutil.copy(options.model, model.parent))
        conditions = Conditions(
            model=model, n_threads=physical_cores(), n_ctx=_CONTEXT, n_seq_max=1
        )
        answers = {
            system.name: asyncio.run(_answers(system, options, conditions, folder))
            for system in present
        }
    Console().print(table_of(answers))
    return 0


async def _answers(
    system: System, options: SchemaOptions, conditions: Conditions, folder: Path
) -> list[Matched]:
    home = folder / system.name
    home.mkdir()
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(system.running(conditions, home))
        target = running.target
        assert isinstance(target, HttpTarget)
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{target.port}",
                headers={"Authorization": f"Bearer {target.keys[0]}"},
                timeout=_TIMEOUT_S,
                trust_env=False,
            )
        )
        # Loads the model, where that waits for a request.
        await _answer(client, target.model, SCHEMAS[0], 1)
        return [
            await _answer(client, target.model, wanted, options.tokens)
            for wanted in SCHEMAS
        ]


async def _answer(
    client: httpx.AsyncClient, model: str, wanted: Wanted, max_tokens: int
) -> Matched:
    """Return an answer. Raises WrongAnswer if it ends by itself and does not match."""
    named = {"name": "wanted", "schema": wanted.schema}
    body = {
        "model": model,
        "messages": [{"role": "user", "content": wanted.question}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "response_format": {"type": "json_schema", "json_schema": named},
    }
    start = clock()
    response = await client.post("/v1/chat/completions", json=body)
    seconds = clock() - start
    if response.status_code != httpx.codes.OK:
        raise WrongAnswer(f"{response.status_code}: {response.text[:2000]}")
    answer: dict[str, Any] = response.json()
    choice = answer["choices"][0]
    if choice["finish_reason"] == "stop":
        value = json.loads(choice["message"]["content"])
        if not value.keys() >= {*wanted.schema["required"]}:
            raise WrongAnswer(f"{wanted.question}: {value}")
    return Matched(
        answer["usage"]["completion_tokens"], choice["finish_reason"], seconds
    )


def table_of(answers: Mapping[str, Sequence[Matched]]) -> Table:
    """Return the figures of each system as a table."""
    table = Table(title=f"Answers to {len(SCHEMAS)} schemas")
    table.add_column("system")
    for column in ("tokens, mean", "median", "end by themselves", "ms an answer"):
        table.add_column(column, justify="right")
    for name, matched in answers.items():
        tokens = [each.tokens for each in matched]
        stopped = sum(each.reason == "stop" for each in matched)
        table.add_row(
            name,
            f"{statistics.mean(tokens):.1f}",
            f"{statistics.median(tokens):.0f}",
            f"{stopped} of {len(matched)}",
            f"{1000 * statistics.mean(each.seconds for each in matched):.0f}",
        )
    return table
