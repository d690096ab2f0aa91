"""A request's stream in the web process: its worker, its state and its events."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.engine.request import GenerationRequest, PoolingRequest
from inference.engine.sequence import FinishReason
from inference.errors import (
    AnswerCannotResume,
    AnswerNotRead,
    ContextLengthExceeded,
    EngineUnavailable,
    InferenceError,
    ModelDisabled,
    ModelLoadFailed,
    ModelUnloaded,
    QueueFull,
    RequestRejected,
)
from inference.transport.messages.events import (
    MAX_UNREAD_BYTES,
    Accepted,
    Event,
    Refused,
    Taken,
    num_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue

#: Retry-After in seconds when no worker is available.
RETRY_AFTER_S = 5
#: The priority of a resumed request, below every priority that a client may set: it
#: starts before the key's other requests.
_FIRST_OF_ALL = -1000
#: Errors of a worker that are not the request's fault.
_FAILURES: dict[str, type[InferenceError]] = {
    "adapter_not_loaded": EngineUnavailable,
    "decode_failed": EngineUnavailable,
    "kv_cells_exhausted": EngineUnavailable,
    ModelLoadFailed.code: ModelLoadFailed,
    AnswerCannotResume.code: AnswerCannotResume,
    QueueFull.code: QueueFull,
}
#: Errors of a worker that was ended: to try again would only load the model again.
_STOPS: dict[str, type[InferenceError]] = {
    ModelUnloaded.code: ModelUnloaded,
    ModelDisabled.code: ModelDisabled,
}


@dataclass(eq=False)
class Stream:
    """The events of one request.

    ``worker`` is the incarnation of the worker that has it, ``control`` that worker's
    channel, ``fingerprint`` its model's; ``is_started`` whether it runs there,
    ``position`` how many requests were ahead of it when it arrived there; ``node`` and
    ``replica`` are the last that it had, ``prompt_tokens`` what it counted.
    ``is_detached``: it must be queued again; ``was_detached``: it had to before.
    ``sent_to`` is the worker in whose own queue it was put, "" if in that of all;
    ``prefixes`` are the hashes and shares of its prompt's beginnings.
    ``arrived_at`` is when the client's request came, in seconds since the epoch.
    ``traceparent`` is the span that it belongs to, "" if nobody traces.
    ``close`` is called by ``aclose``.
    """

    request: ModelRequest
    queue: ModelQueue
    deadline: float
    arrived_at: float
    queued_at: float
    close: Callable[[Stream], Awaitable[None]]
    traceparent: str = ""
    worker: str = ""
    control: str = ""
    position: int = 0
    node: str = ""
    replica: int = -1
    prompt_tokens: int = 0
    is_started: bool = False
    was_accepted: bool = False
    attempts: int = 0
    is_detached: bool = False
    was_detached: bool = False
    sent_to: str = ""
    prefixes: tuple[tuple[int, float], ...] = ()
    tokens: list[int] = field(default_factory=list)
    fingerprint: str = ""
    is_done: bool = False
    _was_started: bool = False
    _events: deque[Event] = field(default_factory=deque)
    _unread_bytes: int = 0
    _error: Exception | None = None
    _waiter: asyncio.Future[None] | None = None

    @property
    def request_id(self) -> str:
        """The id of the request; it changes each time a worker loses the request."""
        return self.request.request_id

    @property
    def holder(self) -> str:
        """The incarnation of the worker that has it, or in whose queue it is."""
        return self.worker or self.sent_to

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for an event; return all that are available, [] after ``timeout_s``.

        Raises the error that the stream ended with.
        """
        if not self._events and self._error is None:
            await self._change(timeout_s)
        if self._events:
            events = list(self._events)
            self._events.clear()
            self._unread_bytes = 0
            return events
        if self._error is not None:
            raise self._error
        return []

    async def aclose(self) -> None:
        """Give the request up if it is not done. Idempotent."""
        await self.close(self)

    def put(self, event: Event) -> None:
        """Take an event of the worker that has the request.

        The stream ends with AnswerNotRead if too many are unread.
        """
        self._unread_bytes += num_bytes(event)
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self._events.clear()
            self.fail(AnswerNotRead())
            return
        self._put(event)

    def _put(self, event: Event) -> None:
        if isinstance(event, Taken):
            return
        if isinstance(event, SequenceOutput | PoolingOutput):
            if event.finish_reason is FinishReason.FAILED:
                self.fail(_error(event.code, event.error))
                return
            if event.is_start:
                self.is_started = True
                # However many workers have the request in turn, the reader sees one
                # start.
                if self._was_started:
                    return
                self._was_started = True
            elif isinstance(event, SequenceOutput):
                self.tokens.extend(event.tokens)
        elif isinstance(event, Accepted):
            self.position = event.position
            self.node, self.replica = event.node, event.replica
            self.prompt_tokens = event.prompt_tokens
            # What has been written so far decides which model may go on.
            if not self.tokens:
                self.fingerprint = event.fingerprint
            if self.was_accepted:
                return
            self.was_accepted = True
        elif isinstance(event, Refused):
            self.fail(_error(event.code, event.message, event.param))
            return
        self.is_done = event.is_last
        self._events.append(event)
        self._wake()

    def begin_with(self, events: Sequence[Event], now: float) -> None:
        """Begin with events of an earlier request, and go on after them."""
        for event in events:
            self._put(event)
        if not self.is_done:
            self.detach(now, worker_died=False)
            self.is_detached = False

    def detach(self, now: float, *, worker_died: bool) -> None:
        """Take the request from its worker, if it has one, to be queued again.

        It gets a new id: events with the old one are ignored. A request that had
        started resumes with its tokens and a new deadline. If its worker died, an
        attempt is counted, because it may be the one that crashes workers. A pending
        request is not to blame.
        """
        changes: dict[str, Any] = {"request_id": new_request_id()}
        if self.is_started:
            self.attempts += worker_died
            self.deadline = now + self.queue.timeout_s
        if isinstance(self.request, GenerationRequest):
            changes["resume"] = tuple(self.tokens)
            if self._was_started:
                changes["counts_prompt"] = False
            changes["fingerprint"] = self.fingerprint if self.tokens else ""
        if self._was_started and isinstance(
            self.request, GenerationRequest | PoolingRequest
        ):
            changes["priority"] = _FIRST_OF_ALL
        self.request = replace(self.request, **changes)
        self.worker = self.control = self.sent_to = ""
        self.is_started = False
        self.is_detached = self.was_detached = True

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""
        self.is_done = True
        self._error = error
        self._wake()

    async def _change(self, timeout_s: float | None) -> None:
        """Wait for an event or an error, at most ``timeout_s``.

        This happens for every token: asyncio.Event and asyncio.timeout take several
        times as long as one future and one timer.
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


def new_request_id() -> str:
    """Return an id that no other request has."""
    return uuid.uuid4().hex


def _error(code: str, message: str, param: str | None = None) -> InferenceError:
    stop = _STOPS.get(code)
    if stop is not None:
        return stop(message)
    failure = _FAILURES.get(code)
    if failure is not None:
        return failure(message, retry_after=RETRY_AFTER_S)
    if code == ContextLengthExceeded.code:
        return ContextLengthExceeded(message, param=param)
    return RequestRejected(message, code=code, param=param)
