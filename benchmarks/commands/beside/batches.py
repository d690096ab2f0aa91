"""``python -m benchmarks batches``: what a batch does to the requests beside it.

Clients ask one question after the other, with a pause between them, while nothing else
runs and while a batch of thousands of lines does, in turn within each round. The ratio
of the two p95 is taken within a round. The batch is another key's.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import percentile
from benchmarks.systems.ours import Ours
from benchmarks.workloads.prompts import text
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.client.answers import Answer
    from benchmarks.options.commands import BatchOptions

_QUESTION_TOKENS = 64
_ANSWER_TOKENS = 32
_LINE_TOKENS = 64
_POLL_S = 0.2
#: The batch has the second key.
_LIVE, _BATCH = 0, 1


@dataclass(frozen=True, slots=True)
class Phase:
    """Answers to live requests, and the lines that were answered meanwhile."""

    answers: list[Answer]
    lines: int = 0


class _Batches:
    """Starts batches on a server and ends them."""

    def __init__(self, target: HttpTarget, lines: int) -> None:
        self._http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{target.port}/v1",
            headers={"Authorization": f"Bearer {target.keys[_BATCH]}"},
            timeout=60,
            trust_env=False,
        )
        self._content = b"\n".join(
            json.dumps(_line(number, target.model)).encode() for number in range(lines)
        )

    async def begin(self) -> str:
        """Return the id of a new batch of which some lines are answered."""
        file = await self._json(
            "POST",
            "/files",
            files={"file": ("lines.jsonl", self._content)},
            data={"purpose": "batch"},
        )
        body = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        batch = await self._json("POST", "/batches", json=body)
        await self._until(batch["id"], lambda found: _done(found) > 0)
        return str(batch["id"])

    async def done(self, id_: str) -> int:
        """Return how many lines are answered."""
        return _done(await self._json("GET", f"/batches/{id_}"))

    async def end(self, id_: str) -> None:
        """Cancel a batch and wait for its end."""
        await self._json("POST", f"/batches/{id_}/cancel")
        await self._until(id_, lambda found: found["status"] == "cancelled")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _until(self, id_: str, holds: Callable[[Any], bool]) -> None:
        # What happens is in the server.
        while not holds(await self._json("GET", f"/batches/{id_}")):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)

    async def _json(self, method: str, path: str, **more: Any) -> Any:
        answer = await self._http.request(method, path, **more)
        answer.raise_for_status()
        return answer.json()


def measure(options: BatchOptions) -> int:
    """Measure and print; return 1 if the p95 beside a batch is above the limit."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        rounds = asyncio.run(_measure(options, Path(folder)))
    ratio = _show(rounds, options)
    return int(ratio > options.limit)


async def _measure(options: BatchOptions, folder: Path) -> list[tuple[Phase, Phase]]:
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
        n_seq_max=16,
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    settings = (("LLM_MANAGER_SERVER_RATE_LIMIT", "0"),)
    rounds = []
    async with Ours(settings=settings, num_keys=2).running(conditions, data) as running:
        target = running.target
        assert isinstance(target, HttpTarget)
        batches = _Batches(target, options.lines)
        await _live(target, options, "warm-up")
        for number in range(options.rounds):
            alone = await _live(target, options, f"alone-{number}")
            id_ = await batches.begin()
            before = await batches.done(id_)
            beside = await _live(target, options, f"beside-{number}")
            lines = await batches.done(id_) - before
            await batches.end(id_)
            rounds.append((Phase(alone), Phase(beside, lines)))
        await batches.aclose()
    return rounds


async def _live(target: HttpTarget, options: BatchOptions, salt: str) -> list[Answer]:
    """Return the answers to the requests of all clients."""

    async def client(number: int) -> list[Answer]:
        # The same pauses in every phase.
        pauses = random.Random(number)
        answers = []
        for question in range(options.requests):
            await asyncio.sleep(pauses.uniform(0, 2 * options.pause))
            words = text(_QUESTION_TOKENS, f"{salt}-{number}-{question}")
            call = Call((Message("user", words),), _ANSWER_TOKENS, key=_LIVE)
            answers.append(await target.ask(call))
        return answers

    found = await asyncio.gather(*(client(n) for n in range(options.clients)))
    return [answer for answers in found for answer in answers]


def _line(number: int, model: str) -> dict[str, Any]:
    words = text(_QUESTION_TOKENS, f"line-{number}")
    return {
        "custom_id": str(number),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": model,
            "max_tokens": _LINE_TOKENS,
            "messages": [{"role": "user", "content": words}],
        },
    }


def _done(batch: Any) -> int:
    return int(batch["request_counts"]["completed"])


def _show(rounds: list[tuple[Phase, Phase]], options: BatchOptions) -> float:
    """Print a table; return the median of the ratios of p95."""
    figures: dict[str, Callable[[Phase], float]] = {
        "latency p50, ms": lambda phase: 1000 * _latency(phase, 50),
        "latency p95, ms": lambda phase: 1000 * _latency(phase, 95),
        "time to first token p95, ms": lambda phase: (
            1000 * percentile((each.ttft_s for each in phase.answers), 95)
        ),
    }
    table = Table(
        title=f"{options.clients} clients beside a batch of {options.lines} lines, "
        f"medians of {options.rounds} rounds"
    )
    for title in ("", "alone", "beside a batch", "ratio"):
        table.add_column(title, justify="right" if title else "left")
    for name, figure in figures.items():
        pairs = [(figure(alone), figure(beside)) for alone, beside in rounds]
        ratios = [beside / alone for alone, beside in pairs]
        table.add_row(
            name,
            *(
                f"{statistics.median(column):.0f}"
                for column in zip(*pairs, strict=True)
            ),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        )
    lines = statistics.median(beside.lines for _, beside in rounds)
    table.add_row("lines answered meanwhile", "", f"{lines:.0f}", "")
    Console().print(table)
    return statistics.median(
        _latency(beside, 95) / _latency(alone, 95) for alone, beside in rounds
    )


def _latency(phase: Phase, percent: float) -> float:
    return percentile((each.latency_s for each in phase.answers), percent)
