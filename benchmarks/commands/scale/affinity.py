"""``python -m benchmarks affinity``: what replicas find of prompts in their caches.

Clients hold chats of several turns, which share a system prompt, on the whole server:
with one replica, with several, and with several that get requests in turn. All have
the same number of slots together. The cached share is that of all prompt tokens.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from benchmarks.workloads.prompts import text
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from benchmarks.client.answers import Answer
    from benchmarks.options.commands import AffinityOptions

_SYSTEM_TOKENS = 80
_QUESTION_TOKENS = 60
_ANSWER_TOKENS = 12
#: Slots of all replicas together: chats need not be spread evenly.
_SLOTS_FOR_EACH_CHAT = 2
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Found:
    """What the chats were answered with, in how many seconds."""

    name: str
    answers: list[Answer]
    seconds: float

    @property
    def share(self) -> float:
        """Of all prompt tokens, how many were in a cache."""
        cached = sum(answer.cached_tokens or 0 for answer in self.answers)
        return cached / sum(answer.prompt_tokens or 0 for answer in self.answers)


def measure(options: AffinityOptions) -> int:
    """Measure and print; return 1 if replicas find less than the limit."""
    many = f"{options.replicas} replicas"
    found = [
        _on_server(options, "1 replica", replicas=1),
        _on_server(options, many, replicas=options.replicas),
        _on_server(
            options, f"{many}, prefix_affinity 0", replicas=options.replicas, bound=0
        ),
    ]
    _show(found)
    return int(found[1].share < options.limit * found[0].share)


def _on_server(
    options: AffinityOptions, name: str, *, replicas: int, bound: int | None = None
) -> Found:
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        return asyncio.run(_measure(options, Path(folder), name, replicas, bound))


async def _measure(
    options: AffinityOptions, folder: Path, name: str, replicas: int, bound: int | None
) -> Found:
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=max(1, physical_cores() // replicas),
        n_seq_max=_SLOTS_FOR_EACH_CHAT * options.chats // replicas,
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    settings = {
        "LLM_MANAGER_SERVER_RATE_LIMIT": "0",
        "LLM_MANAGER_ENGINE_REPLICAS": str(replicas),
    }
    if bound is not None:
        settings["LLM_MANAGER_ENGINE_PREFIX_AFFINITY"] = str(bound)
    ours = Ours(settings=tuple(settings.items()), num_keys=1)
    async with ours.running(conditions, data) as running:
        target = running.target
        assert isinstance(target, HttpTarget)
        await target.ask(Call((Message("user", "Hi"),), max_tokens=1))
        await _until_ready(target, replicas)
        # All at once: each then goes on as fast as it is answered.
        begun = clock()
        chats = [_chat(target, number, options) for number in range(options.chats)]
        answers = [each for chat in await asyncio.gather(*chats) for each in chat]
        return Found(name, answers, clock() - begun)


async def _until_ready(target: HttpTarget, replicas: int) -> None:
    """Wait until all replicas serve, and have said so to the web process."""
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        headers = {"Authorization": f"Bearer {target.keys[0]}"}
        ready = 0.0
        while ready < replicas:
            await asyncio.sleep(_POLL_S)
            page = await http.get(
                f"http://127.0.0.1:{target.port}/metrics", headers=headers
            )
            page.raise_for_status()
            ready = sum(
                sample.value
                for family in text_string_to_metric_families(page.text)
                for sample in family.samples
                if sample.name == "llm_workers" and sample.labels["state"] == "ready"
            )
    # A worker says once a second that it serves.
    await asyncio.sleep(2)


async def _chat(
    target: HttpTarget, number: int, options: AffinityOptions
) -> list[Answer]:
    """Hold a chat; return the answers of its turns."""
    messages = [Message("system", text(_SYSTEM_TOKENS, "system"))]
    answers = []
    for turn in range(options.turns):
        question = text(_QUESTION_TOKENS, f"chat {number} turn {turn}")
        messages.append(Message("user", question))
        answer = await target.ask(Call(tuple(messages), _ANSWER_TOKENS))
        messages.append(Message("assistant", answer.text))
        answers.append(answer)
    return answers


def _show(found: list[Found]) -> None:
    table = Table(title="Prompt tokens that were in a prefix cache")
    for title in ("", "cached share", "of one replica's", "requests", "seconds"):
        table.add_column(title, justify="right" if title else "left")
    for each in found:
        table.add_row(
            each.name,
            f"{each.share:.3f}",
            f"{each.share / found[0].share:.2f}",
            str(len(each.answers)),
            f"{each.seconds:.0f}",
        )
    Console(width=100).print(table)
