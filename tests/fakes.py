"""An engine that does what a test scripts, and a clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.engine.output import SequenceOutput
from inference.engine.sequence import FinishReason
from inference.transport.messages.events import Accepted, Event

if TYPE_CHECKING:
    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue

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


def started(cached_tokens: int = 0) -> SequenceOutput:
    """Return the event of a sequence that begins."""
    return SequenceOutput("", 5, 0, cached_tokens, is_start=True)


def begun(prompt_tokens: int = 5) -> list[Event]:
    """Return the events of a sequence that begins as soon as it is taken."""
    return [accepted(prompt_tokens), started()]


def tokens(text: str, count: int = 1, **more: Any) -> SequenceOutput:
    """Return the event of tokens that were sampled."""
    return SequenceOutput("", 5, 0, 0, tokens=tuple(range(count)), text=text, **more)


def finished(
    reason: str = "stop",
    text: str = "",
    *,
    prompt: int = 5,
    completion: int = 2,
    cached: int = 0,
    **more: Any,
) -> SequenceOutput:
    """Return the event of a sequence that has ended."""
    return SequenceOutput(
        "",
        prompt,
        completion,
        cached,
        text=text,
        finish_reason=FinishReason(reason),
        **more,
    )


def hello() -> list[Step]:
    """Return the script of a short answer: "Hello world"."""
    return [begun(), [tokens("Hello")], [tokens(" world"), finished()]]


@dataclass(eq=False)
class FakeStream:
    """One sequence that plays its script."""

    request: ModelRequest
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
    """Takes requests and plays a script for each: "Hello world" if none is queued."""

    def __init__(self) -> None:
        #: What each request's stream had to begin with.
        self.so_far: list[list[Event]] = []
        self.requests: list[Any] = []
        self.queues: list[ModelQueue] = []
        self.streams: list[FakeStream] = []
        self.scripts: deque[list[Step]] = deque()
        self.refusals: deque[Exception | None] = deque()
        self._one_more = asyncio.Condition()

    def enqueue(self, *steps: Step) -> None:
        """Script the next sequence."""
        self.scripts.append(list(steps))

    def refuse(self, error: Exception, *, after: int = 0) -> None:
        """Refuse a request, when this many more have been taken."""
        self.refusals.extend([*[None] * after, error])

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> FakeStream:
        """Take a request."""
        self.requests.append(request)
        self.queues.append(queue)
        self.so_far.append(list(so_far))
        refusal = self.refusals.popleft() if self.refusals else None
        if refusal is not None:
            raise refusal
        script = self.scripts.popleft() if self.scripts else hello()
        stream = FakeStream(request, deque(script))
        self.streams.append(stream)
        async with self._one_more:
            self._one_more.notify_all()
        return stream

    async def has_streams(self, count: int = 1) -> None:
        """Return once ``count`` streams have begun."""
        async with asyncio.timeout(20), self._one_more:
            await self._one_more.wait_for(lambda: len(self.streams) >= count)
