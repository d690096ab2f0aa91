"""The requests that a web process has sent to workers, so that they can be ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inference.errors import RequestCancelled
from inference.transport.messages.running import RunningOfWeb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.messages.running import CurrentRequest
    from inference.transport.queue import ModelQueue
    from inference.transport.stream import Stream

#: Requests of one answer: the oldest, which are what somebody looks for.
_MAX_LISTED = 500


class StreamClient(Protocol):
    """What makes streams."""

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> Stream:
        """Queue a request; return its stream."""


class RunningStream(Protocol):
    """A sequence at a worker, or a request at an upstream."""

    worker: str
    node: str
    replica: int
    queued_at: float
    prompt_tokens: int
    is_started: bool
    is_done: bool
    tokens: list[int]

    @property
    def request_id(self) -> str:
        """Its id."""

    async def aclose(self) -> None:
        """Give it up."""

    def fail(self, error: Exception) -> None:
        """End it with an error."""


class TrackedRequest:
    """A request and its streams; ``describe`` says what it does now, given these."""

    def __init__(
        self, id_: str, describe: Callable[[Sequence[RunningStream]], CurrentRequest]
    ) -> None:
        self.id = id_
        self._describe = describe
        self._streams: list[RunningStream] = []
        self._ended_by: RequestCancelled | None = None

    def state(self) -> CurrentRequest:
        """Return what it does now."""
        return self._describe(self._streams)

    def through(self, client: StreamClient) -> StreamClient:
        """Return the client whose streams are this request's."""
        return _TrackingClient(client, self)

    def attach(self, stream: RunningStream) -> None:
        """Take a request at an upstream; one that was cancelled ends at once."""
        self._streams.append(stream)
        if self._ended_by is not None:
            stream.fail(self._ended_by)

    async def submit(
        self,
        client: StreamClient,
        request: ModelRequest,
        queue: ModelQueue,
        so_far: Sequence[Event],
    ) -> Stream:
        """Queue a sequence. Raises RequestCancelled, and what ``submit`` raises."""
        stream = await client.submit(request, queue, so_far)
        self._streams.append(stream)
        if self._ended_by is not None:
            await stream.aclose()
            raise self._ended_by
        return stream

    async def cancel(self, by: str) -> None:
        """End it with an error that says by whom; its workers drop it within a step."""
        self._ended_by = RequestCancelled(
            f"The administrator '{by}' cancelled this request."
        )
        for stream in self._streams:
            if not stream.is_done:
                await stream.aclose()
                stream.fail(self._ended_by)


class _TrackingClient:
    def __init__(self, client: StreamClient, request: TrackedRequest) -> None:
        self._client = client
        self._request = request

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> Stream:
        """Queue a sequence of the request."""
        return await self._request.submit(self._client, request, queue, so_far)


class RunningRequests:
    """The tracked requests of this process, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, TrackedRequest] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, request: TrackedRequest) -> None:
        """Keep a request."""
        self._by_id[request.id] = request

    def remove(self, id_: str) -> None:
        """Forget a request. Idempotent."""
        self._by_id.pop(id_, None)

    def states(self) -> RunningOfWeb:
        """Return what they do now."""
        oldest = list(self._by_id.values())[:_MAX_LISTED]
        return RunningOfWeb(
            tuple(request.state() for request in oldest), len(self._by_id) - len(oldest)
        )

    async def cancel(self, id_: str, by: str) -> bool:
        """End a request; return whether it is here."""
        request = self._by_id.get(id_)
        if request is None:
            return False
        await request.cancel(by)
        return True


#: Those of this process.
running_requests = RunningRequests()
