"""An engine that does what a test tells it to, and a clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.transport.messages import (
    Accepted,
    Event,
    Finished,
    Started,
    TokensGenerated,
    Usage,
)

if TYPE_CHECKING:
    from inference.transport.stream import AnyJob

#: What a script is made of: events that arrive together, a pause in seconds, or
#: the error that ends it. A script without an end is a sequence that hangs.
Step = Sequence[Event] | float | Exception


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def accepted(prompt_tokens: int = 5) -> Accepted:
    """Return the event of a sequence that a worker has taken."""
    return Accepted("", prompt_tokens)


def started(cached_tokens: int = 0) -> Started:
    """Return the event of a sequence that begins."""
    return Started("", cached_tokens)


def begun(prompt_tokens: int = 5) -> list[Event]:
    """Return the events of a sequence that begins as soon as it is taken."""
    return [accepted(prompt_tokens), started()]


def tokens(text: str, count: int = 1) -> TokensGenerated:
    """Return the event of tokens that were sampled."""
    return TokensGenerated("", tuple(range(count)), text)


def finished(
    reason: str = "stop",
    text: str = "",
    *,
    prompt: int = 5,
    completion: int = 2,
    cached: int = 0,
) -> Finished:
    """Return the event of a sequence that has ended."""
    return Finished("", reason, text, Usage(prompt, completion, cached))


def hello() -> list[Step]:
    """Return the script of a short answer: "Hello world"."""
    return [begun(), [tokens("Hello")], [tokens(" world"), finished()]]


@dataclass(eq=False)
class FakeStream:
    """One sequence that plays its script."""

    job: AnyJob
    script: deque[Step]
    is_closed: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Return the script's next events."""
        if not self.script:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                return []
        step = self.script.popleft()
        if isinstance(step, (int, float)):
            pause = step if timeout_s is None else min(step, timeout_s)
            await asyncio.sleep(pause)
            if pause < step:
                self.script.appendleft(step - pause)
                return []
            return await self.events(timeout_s)
        if isinstance(step, Exception):
            raise step
        return list(step)

    def play(self, *steps: Step) -> None:
        """Go on with these steps."""
        self.script.extend(steps)
        self._wake.set()

    async def aclose(self) -> None:
        """Note that nobody waits any more."""
        self.is_closed = True


class FakeEngineClient:
    """Takes jobs and plays a script for each, "Hello world" if none is queued."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.streams: list[FakeStream] = []
        self.scripts: deque[list[Step]] = deque()
        self.refusals: deque[Exception | None] = deque()
        self._one_more = asyncio.Condition()

    def enqueue(self, *steps: Step) -> None:
        """Script the next sequence."""
        self.scripts.append(list(steps))

    def refuse(self, error: Exception, *, after: int = 0) -> None:
        """Refuse a job, when this many more have been taken."""
        self.refusals.extend([*[None] * after, error])

    async def submit(self, job: AnyJob) -> FakeStream:
        """Take a job."""
        self.jobs.append(job)
        refusal = self.refusals.popleft() if self.refusals else None
        if refusal is not None:
            raise refusal
        script = self.scripts.popleft() if self.scripts else hello()
        stream = FakeStream(job, deque(script))
        self.streams.append(stream)
        async with self._one_more:
            self._one_more.notify_all()
        return stream

    async def has_streams(self, count: int = 1) -> None:
        """Return once so many streams have begun."""
        async with asyncio.timeout(20), self._one_more:
            await self._one_more.wait_for(lambda: len(self.streams) >= count)
