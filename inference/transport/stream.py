"""One sequence as the web process sees it: what is asked for, and what comes of it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from inference.errors import (
    EngineUnavailable,
    InferenceError,
    ModelLoadFailed,
    QueueFull,
    RequestRejected,
)
from inference.transport.messages import (
    Accepted,
    Event,
    Failed,
    Finished,
    Generate,
    Started,
    TokensGenerated,
)

if TYPE_CHECKING:
    from inference.engine.adapters import Adapters
    from inference.engine.sampling.params import SamplingParams
    from inference.transport.client import EngineClient
    from inference.transport.messages import Request

#: Seconds after which a client may try again when no worker could be had.
RETRY_AFTER_S = 5
#: What a worker may fail with that is no fault of the request.
_FAILURES: dict[str, type[InferenceError]] = {
    "adapter_not_loaded": EngineUnavailable,
    "decode_failed": EngineUnavailable,
    "kv_cells_exhausted": EngineUnavailable,
    ModelLoadFailed.code: ModelLoadFailed,
    QueueFull.code: QueueFull,
}


class AnyJob(Protocol):
    """What can be asked of a model's workers; Job explains the fields."""

    @property
    def model_id(self) -> int:
        """The model's primary key."""

    @property
    def model_name(self) -> str:
        """The model's name, for messages."""

    @property
    def timeout_s(self) -> float:
        """How long it may wait for its start."""

    @property
    def priority(self) -> int:
        """Its place among the key's jobs."""

    def message(self, stream: Stream, reply_to: str, priority: int) -> Request:
        """Return what is put into the model's queue."""


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence to generate. ``timeout_s`` bounds the wait for its start.

    ``weight`` is the key's; of the key's jobs a lower ``priority`` starts earlier.
    """

    model_id: int
    model_name: str
    prompt: str | list[int]
    params: SamplingParams
    special: bool
    tenant: str
    key: str
    timeout_s: float
    suffix: str = ""
    prediction: str = ""
    adapters: Adapters = ()
    weight: float = 1.0
    priority: int = 0

    def message(self, stream: Stream, reply_to: str, priority: int) -> Generate:
        """Return what is put into the model's queue: the tokens so far included."""
        return Generate(
            request_id=stream.request_id,
            reply_to=reply_to,
            prompt=self.prompt,
            params=self.params,
            deadline=stream.deadline,
            special=self.special,
            suffix=self.suffix,
            resume=tuple(stream.tokens),
            prediction=self.prediction,
            adapters=self.adapters,
            tenant=self.tenant,
            key=self.key,
            weight=self.weight,
            priority=priority,
        )


@dataclass(eq=False)
class Stream:
    """The events of one job.

    ``owner`` is the worker that has it, with its channel ``control``;
    ``is_started`` whether it runs there, ``position`` how many were ahead of it
    when it came there. ``is_detached`` means that it is to be queued again.
    """

    client: EngineClient
    job: AnyJob
    request_id: str
    deadline: float
    queued_at: float
    owner: str = ""
    control: str = ""
    position: int = 0
    is_started: bool = False
    attempts: int = 0
    is_detached: bool = False
    tokens: list[int] = field(default_factory=list)
    is_done: bool = False
    _events: deque[Event] = field(default_factory=deque)
    _error: InferenceError | None = None
    _told: set[type[Event]] = field(default_factory=set)
    _waiter: asyncio.Future[None] | None = None

    @property
    def was_accepted(self) -> bool:
        """Whether some worker has ever taken the job."""
        return Accepted in self._told

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for events and return all that are there; [] after ``timeout_s``.

        The last one is Finished. Raises InferenceError when the job cannot be
        done.
        """
        if not self._events and self._error is None:
            await self._change(timeout_s)
        if self._events:
            events = list(self._events)
            self._events.clear()
            return events
        if self._error is not None:
            raise self._error
        return []

    async def aclose(self) -> None:
        """Give the job up if it is not done. Idempotent."""
        await self.client.close(self)

    def put(self, event: Event) -> None:
        """Take an event of the worker that owns the stream."""
        match event:
            case Accepted():
                self.position = event.position
            case Started():
                self.is_started = True
            case TokensGenerated():
                self.tokens.extend(event.tokens)
            case Finished():
                self.is_done = True
            case Failed():
                self.fail(_error(event))
                return
        if isinstance(event, Accepted | Started):
            # However many workers have it in turn, the reader hears of one.
            if type(event) in self._told:
                return
            self._told.add(type(event))
        self._events.append(event)
        self._wake()

    def let_go(self, now: float) -> None:
        """Take the stream from its worker, if it has one.

        What had begun gets time anew to go on elsewhere, and an attempt is counted:
        it may be what ends workers. What had waited has done nothing.
        """
        if self.is_started:
            self.attempts += 1
            self.deadline = now + self.job.timeout_s
        self.owner = self.control = ""
        self.is_started = False
        self.is_detached = True

    def fail(self, error: InferenceError) -> None:
        """End the stream with an error."""
        self.is_done = True
        self._error = error
        self._wake()

    async def _change(self, timeout_s: float | None) -> None:
        """Wait for an event or an error, so long at most.

        This happens for every token: asyncio's Event and timeout take several times
        as long as one future and one timer.
        """
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _error(event: Failed) -> InferenceError:
    failure = _FAILURES.get(event.code)
    if failure is not None:
        return failure(event.message, retry_after=RETRY_AFTER_S)
    return RequestRejected(event.message, code=event.code, param=event.param)
