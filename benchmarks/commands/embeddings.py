"""``python -m benchmarks embeddings``: vectors of many texts at once."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import WrongAnswer, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.systems.llama_server import LlamaServer
from benchmarks.systems.ours import Ours
from benchmarks.systems.system import ROOT
from benchmarks.workloads.prompts import text
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options.commands import EmbeddingOptions
    from benchmarks.systems import System

#: Where the model is looked for unless this variable names one.
VARIABLE = "BENCH_EMBEDDING_MODEL"
_DEFAULT = ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2.Q8_0.gguf"
#: What llama.cpp's arithmetic may differ by between batches of different shapes.
_MIN_COSINE = 0.999

Vectors = list[list[float]]


def measure(options: EmbeddingOptions) -> int:
    """Measure and print; return the exit status: 1 if an answer was wrong."""
    path = Path(os.environ.get(VARIABLE) or _DEFAULT)
    if not path.is_file():
        raise SystemExit(f"There is no embedding model {path}: {VARIABLE} names one.")
    systems: list[System] = [Ours(), LlamaServer("llama-server", ("--embedding",))]
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        # Our server is ready once it has a chat model to show.
        chat_model = put_model(folder / "models", "Q4_1")
        model = Path(shutil.copy(path, chat_model.parent))
        conditions = Conditions(
            model=model, n_threads=physical_cores(), n_ctx=256, n_seq_max=options.batch
        )
        present = [system for system in systems if system.missing() is None]
        try:
            rates = asyncio.run(_measure_all(present, options, conditions, folder))
        except WrongAnswer as error:
            print(error, file=sys.stderr)
            return 1
    _print(rates, options)
    return 0


async def _measure_all(
    systems: Sequence[System],
    options: EmbeddingOptions,
    conditions: Conditions,
    folder: Path,
) -> dict[str, list[float]]:
    """Return the texts per second of each system, by round. Raises WrongAnswer."""
    rates: dict[str, list[float]] = {system.name: [] for system in systems}
    async with AsyncExitStack() as stack:
        targets: dict[str, HttpTarget] = {}
        for system in systems:
            home = folder / system.name
            home.mkdir()
            running = await stack.enter_async_context(system.running(conditions, home))
            assert isinstance(running.target, HttpTarget)
            targets[system.name] = running.target
            # Loads the model, where that waits for a request.
            await embed(running.target, ["warm up"])
        for number in range(options.rounds):
            inputs = [
                [
                    text(options.tokens, f"r{number}-{request}-{item}")
                    for item in range(options.batch)
                ]
                for request in range(options.requests)
            ]
            vectors: dict[str, list[Vectors]] = {}
            for name, target in targets.items():
                start = clock()
                vectors[name] = await asyncio.gather(
                    *(embed(target, batch) for batch in inputs)
                )
                seconds = clock() - start
                rates[name].append(options.requests * options.batch / seconds)
            _check_alike(vectors)
    return rates


async def embed(target: HttpTarget, inputs: list[str]) -> Vectors:
    """Return the vectors of some texts. Raises WrongAnswer."""
    content = json.dumps({"model": target.model, "input": inputs}).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{target.port}\r\n"
        f"Authorization: Bearer {target.keys[0]}\r\n"
        "Content-Type: application/json\r\n"
        "Connection: close\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(head.encode() + content)
        answer = await reader.read()
    finally:
        writer.close()
    status, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in status.splitlines()[0]:
        raise WrongAnswer(f"{status.splitlines()[0]!r}: {body[:2000]!r}")
    return vectors_of(json.loads(body), len(inputs))


def vectors_of(answer: dict[str, Any], count: int) -> Vectors:
    """Return an answer's vectors, by their index. Raises WrongAnswer."""
    data = sorted(answer["data"], key=lambda item: item["index"])
    if [item["index"] for item in data] != list(range(count)):
        raise WrongAnswer(f"{len(data)} vectors for {count} texts")
    vectors: Vectors = [item["embedding"] for item in data]
    if any(abs(math.hypot(*vector) - 1) > 1e-3 for vector in vectors):
        raise WrongAnswer("a vector's length is not 1")
    return vectors


def _check_alike(vectors: dict[str, list[Vectors]]) -> None:
    """Raise WrongAnswer unless all systems say the same of every text."""
    first, *others = vectors.values()
    for other in others:
        for one, two in zip(first, other, strict=True):
            for a, b in zip(one, two, strict=True):
                cosine = sum(x * y for x, y in zip(a, b, strict=True))
                if cosine < _MIN_COSINE:
                    raise WrongAnswer(f"two systems' vectors have a cosine of {cosine}")


def _print(rates: dict[str, list[float]], options: EmbeddingOptions) -> None:
    table = Table(
        title=f"{options.requests} requests at once, {options.batch} texts of "
        f"{options.tokens} tokens each"
    )
    for column in ("system", "texts/s", "tokens/s", "to llama-server"):
        table.add_column(column, justify="left" if column == "system" else "right")
    base = statistics.median(rates.get("llama-server") or [0.0])
    for name, values in rates.items():
        rate = statistics.median(values)
        table.add_row(
            name,
            f"{rate:.1f}",
            f"{rate * options.tokens:.0f}",
            f"{rate / base:.2f}" if base else "-",
        )
    Console().print(table)
