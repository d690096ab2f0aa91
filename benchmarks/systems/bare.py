"""Our engine alone: no HTTP, no Redis. What the rest of ours can reach at most.

It runs in a process of its own (``bare_process``), so that the client's Python is
not in its way, and speaks JSON lines over pipes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from benchmarks.client.answers import Answer, Call, WrongAnswer, checked, clock
from benchmarks.model import END_TOKENS
from benchmarks.systems.system import (
    Running,
    environment,
    openmp_environment,
    process,
    start_failed,
)
from benchmarks.systems.usage import ProcessTree
from inference.engine.config.cpu_threads import thread_environment
from registry.load_settings import ModelEngineSection

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from benchmarks.model import Conditions


@dataclass(slots=True)
class _Stream:
    """An answer on its way."""

    call: Call
    started_s: float
    on_text: Callable[[], None] | None
    answer: asyncio.Future[Answer]
    arrivals_s: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def push(self, text: str, end: dict[str, Any] | None) -> None:
        """Take the output of one step of the engine."""
        if text:
            self.arrivals_s.append(clock())
            self.texts.append(text)
            if self.on_text is not None:
                self.on_text()
        if end is None or self.answer.done():
            return
        answer = Answer(
            call=self.call,
            started_s=self.started_s,
            arrivals_s=tuple(self.arrivals_s),
            text="".join(self.texts),
            completion_tokens=end["completion_tokens"],
            prompt_tokens=end["prompt_tokens"],
            cached_tokens=end["cached_tokens"],
        )
        try:
            self.answer.set_result(checked(answer, [end["finish_reason"]]))
        except WrongAnswer as error:
            self.answer.set_exception(error)


class PipeTarget:
    """Asks the engine process; ``listen`` must run meanwhile."""

    def __init__(self, engine: Process) -> None:
        self._engine = engine
        self._streams: dict[str, _Stream] = {}
        self._numbers = count()

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        """Queue a request in the engine, wait for its end. Raises WrongAnswer."""
        number = str(next(self._numbers))
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._streams[number] = _Stream(call, clock(), on_text, future)
        self._send(
            {
                "id": number,
                "messages": [
                    [message.role, message.content] for message in call.messages
                ],
                "max_tokens": call.max_tokens,
                "sampling": dict(call.sampling),
                "banned": END_TOKENS if call.exact else (),
                "key": f"key-{call.key}",
            }
        )
        try:
            return await future
        except asyncio.CancelledError:
            self._send({"id": number, "cancel": True})
            raise
        finally:
            del self._streams[number]

    async def listen(self) -> None:
        """Pass on the output of the engine, a line a step, until it ends."""
        assert self._engine.stdout is not None
        async for line in self._engine.stdout:
            for number, text, end in json.loads(line):
                if number in self._streams:
                    self._streams[number].push(text, end)
        for stream in self._streams.values():
            if not stream.answer.done():
                stream.answer.set_exception(WrongAnswer("the engine process ended"))

    def _send(self, command: dict[str, Any]) -> None:
        assert self._engine.stdin is not None
        self._engine.stdin.write(json.dumps(command).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Bare:
    """The engine core in a loop."""

    name: str = "bare"
    num_keys: int = 3
    itl_target_ms: int = ModelEngineSection.model_fields["itl_target_ms"].default

    def missing(self) -> str | None:
        """It is always there."""
        return None

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        """Start the process and wait until the model is loaded."""
        config = {
            "paths": [str(conditions.model)],
            "n_ctx": conditions.n_ctx,
            "n_seq_max": conditions.n_seq_max,
            "n_batch": conditions.n_batch,
            "n_threads": conditions.n_threads,
            "itl_target_ms": self.itl_target_ms,
            "draft": "auto",
        }
        command = [
            *(sys.executable, "-m", "benchmarks.systems.bare_process"),
            json.dumps(config),
        ]
        log = folder / "log"
        env = environment(
            **thread_environment(conditions.n_threads) | openmp_environment()
        )
        async with process(command, log, env, stdin=PIPE, stdout=PIPE) as started:
            assert started.stdout is not None
            if not await started.stdout.readline():
                raise SystemExit(start_failed(command, log))
            target = PipeTarget(started)
            listener = asyncio.create_task(target.listen())
            try:
                yield Running(target, ProcessTree(started.pid, lambda _command: "bare"))
            finally:
                listener.cancel()
