"""The web side of the transport: sends requests to workers and follows their events.

One client per event loop. It owns the web process's reply channel, distributes the
events of frames to streams and requests lost frames again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from channels.exceptions import ChannelFull
from channels.layers import channel_layers
from django.conf import settings
from redis.exceptions import RedisError

from inference.errors import EngineUnavailable, QueueFull, queue_full_message
from inference.transport.affinity.prefix_affinity import PrefixAffinity
from inference.transport.codec import ProtocolError, from_wire, to_wire
from inference.transport.frame_receiver import FrameReceiver
from inference.transport.key_watch import KeyWatch
from inference.transport.messages.commands import Abort, Renew, Resend
from inference.transport.messages.events import (
    Accepted,
    Frame,
    LineState,
    Refused,
    Released,
    Taken,
)
from inference.transport.messages.peers import WorkerHeartbeat
from inference.transport.messages.requests import QueuedRequest, TraceOrigin
from inference.transport.messages.running import (
    AskRunning,
    CancelAnswer,
    CancelRequest,
)
from inference.transport.queue import QueueOrder, own_queue, put
from inference.transport.queue_shares import QueueShares
from inference.transport.running.questions import WEB_PROCESSES, answer
from inference.transport.running.tracking import running_requests
from inference.transport.stream import RETRY_AFTER_S, Stream
from inference.transport.stream_watch import StreamWatch
from inference.transport.streams import Streams
from inference.transport.worker_heartbeats import WorkerHeartbeats
from inference.transport.worker_lookup import WorkerLookup
from llm_manager.lib.tracing.current import traceparent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.request import ModelRequest
    from inference.load_progress import LoadProgress
    from inference.transport.messages.events import Event
    from inference.transport.messages.running import RunningOfWeb
    from inference.transport.queue import ModelQueue

logger = logging.getLogger(__name__)


class EngineClient:
    """Manages all streams of one web process.

    ``queue_layer`` is the channel layer of the queues, ``reply_layer`` that of the
    frames and commands; ``affinity_bound`` is for ``PrefixAffinity``.
    """

    def __init__(
        self, *, queue_layer: Any, reply_layer: Any, affinity_bound: int = 0
    ) -> None:
        self._queue_layer = queue_layer
        self._reply_layer = reply_layer
        self._streams = Streams()
        self._shares = QueueShares(queue_layer, self._streams)
        self._order = QueueOrder()
        self._receiver = FrameReceiver(on_restart=self._lose_events)
        self._heartbeats = WorkerHeartbeats(
            reply_layer, on_begin=lambda: self._watch.look_soon()
        )
        self._lookup = WorkerLookup(self._heartbeats)
        self._affinity = PrefixAffinity(
            self._streams, self._heartbeats, bound=affinity_bound
        )
        self._watch = StreamWatch(
            self._streams,
            queue_layer=queue_layer,
            receiver=self._receiver,
            lookup=self._lookup,
            heartbeats=self._heartbeats,
            renew=self._renew,
            close=self.close,
            enqueue=self._enqueue,
        )
        self._keys = KeyWatch(self._streams, close=self.close)
        self._reply_to = ""
        self._starting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._answering: set[asyncio.Task[None]] = set()

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> Stream:
        """Queue a request; return its stream.

        ``so_far`` are events of the same request's earlier stream: this one begins with
        them and goes on. With the last one among them nothing is queued.

        Raises QueueFull, EngineUnavailable, ModelLoadFailed.
        """
        await self._start()
        await self._lookup.ensure(queue, request.key)
        now = time.time()
        stream = Stream(
            request=request,
            queue=queue,
            deadline=now + queue.timeout_s,
            arrived_at=now,
            queued_at=now,
            close=self.close,
            traceparent=traceparent.get(),
        )
        if so_far:
            stream.begin_with(so_far, now)
        if stream.is_done:
            return stream
        if not so_far:
            try:
                await self._shares.check(request, queue)
            except QueueFull as error:
                raise error.while_loading(self._loading(queue)) from None
        self._streams.add(stream)
        try:
            await self._enqueue(stream)
        except BaseException:
            self._streams.remove(stream)
            raise
        return stream

    async def close(self, stream: Stream) -> None:
        """Forget a stream; its worker drops the sequence within a step."""
        self._streams.remove(stream)
        was_done, stream.is_done = stream.is_done, True
        if not was_done:
            self._shares.abandon(stream)
        if not was_done and stream.control:
            await self._command(stream.control, Abort((stream.request_id,)))

    async def aclose(self) -> None:
        """End the client's tasks. Its streams get no more events."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _start(self) -> None:
        """Open the reply channel and start the client's tasks, once."""
        async with self._starting:
            if not self._tasks or any(task.done() for task in self._tasks):
                for task in self._tasks:
                    task.cancel()
                try:
                    self._reply_to = await self._reply_layer.new_channel("reply.")
                    self._heartbeats.open(self._reply_to)
                    self._affinity.open(self._reply_to)
                    await self._reply_layer.group_add(WEB_PROCESSES, self._reply_to)
                except (OSError, RedisError) as error:
                    raise _no_redis() from error
                self._tasks = [
                    asyncio.create_task(self._receive()),
                    asyncio.create_task(self._watch.run()),
                    asyncio.create_task(self._watch.renew_leases()),
                    asyncio.create_task(self._watch.requeue()),
                    asyncio.create_task(self._keys.run()),
                ]

    # Requests and commands ------------------------------------------------------

    async def _enqueue(self, stream: Stream) -> None:
        """Queue a stream's request. Raises QueueFull, EngineUnavailable."""
        queue = stream.queue
        stream.sent_to = self._affinity.choose(stream)
        if stream.sent_to:
            try:
                await self._put(stream, own_queue(queue.channel, stream.sent_to))
            except ChannelFull:
                stream.sent_to = ""
            else:
                return
        try:
            await self._put(stream, queue.channel)
        except ChannelFull:
            status = self._watch.statuses.get(queue.model_id)
            waiting = self._queue_layer.get_capacity(queue.channel)
            waiting += status.waiting if status else 0
            raise QueueFull(
                queue_full_message(queue.model_name, waiting),
                retry_after=RETRY_AFTER_S,
            ).while_loading(self._loading(queue)) from None

    async def _put(self, stream: Stream, channel: str) -> None:
        """Put a stream's request into a channel. Raises ChannelFull also."""
        parent = stream.traceparent
        origin = TraceOrigin(parent, time.time()) if parent else None
        request = stream.request
        message = QueuedRequest(request, self._reply_to, stream.deadline, origin)
        at = self._order.next(channel, request.key, request.weight)
        try:
            await put(self._queue_layer, channel, to_wire(message), at)
        except (OSError, RedisError) as error:
            raise _no_redis() from error

    def _loading(self, queue: ModelQueue) -> LoadProgress | None:
        """Return how far a queue's model is loaded, as of the last check."""
        status = self._watch.statuses.get(queue.model_id)
        return status.loading if status is not None else None

    async def _command(self, control: str, command: Abort | Renew | Resend) -> None:
        try:
            await self._reply_layer.send(control, to_wire(command))
        except (OSError, RedisError):
            # A worker that gets no Renew for a while stops by itself.
            logger.warning("Redis is away; a command to a worker is lost")

    async def _renew(self, control: str) -> None:
        await self._command(control, Renew(self._reply_to))

    # Events ---------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            try:
                message = from_wire(await self._reply_layer.receive(self._reply_to))
                if isinstance(message, Frame | LineState):
                    await self._handle(message)
                elif isinstance(message, WorkerHeartbeat):
                    self._heartbeats.put(message)
                    self._affinity.hear(message)
                elif isinstance(message, AskRunning | CancelRequest):
                    # Frames do not wait for it.
                    answering = asyncio.create_task(self._answer(message))
                    self._answering.add(answering)
                    answering.add_done_callback(self._answering.discard)
            except ProtocolError:
                logger.exception("A frame of another version is dropped")
            except Exception:
                # A bad frame must not prevent the next ones.
                logger.exception("A frame could not be handled")

    async def _answer(self, question: AskRunning | CancelRequest) -> None:
        reply: RunningOfWeb | CancelAnswer
        if isinstance(question, CancelRequest):
            reply = CancelAnswer(
                await running_requests.cancel(question.id, question.by)
            )
        else:
            reply = running_requests.states()
        redis = self._queue_layer.connection(0)
        await answer(redis, self._reply_layer, question.answer_to, reply)

    async def _handle(self, message: Frame | LineState) -> None:
        unwanted = {
            request_id
            for frame in self._receiver.put(message)
            for request_id in self._take(frame)
        }
        if isinstance(message, LineState) and self._receiver.is_level(message):
            unwanted |= self._compare(message)
        missing = self._receiver.missing(message)
        if unwanted:
            await self._command(message.control, Abort(tuple(unwanted)))
        if missing is not None:
            await self._command(message.control, Resend(self._reply_to, missing))

    def _lose_events(self, incarnation: str) -> None:
        """Queue the streams of a living worker again: events of theirs are lost."""
        for stream in self._streams.of_worker(incarnation):
            self._streams.detach(stream)

    def _compare(self, state: LineState) -> set[str]:
        """Detach the streams that a worker does not have, though they wait for it.

        Returns the requests that it has for no stream.
        """
        unwanted = set()
        for request_id in state.requests:
            stream = self._streams.get(request_id)
            if stream is None or stream.worker != state.incarnation:
                unwanted.add(request_id)
                if stream is not None and not stream.worker:
                    # The event that it was taken is lost.
                    self._streams.detach(stream)
        here = set(state.requests)
        for stream in self._streams.of_worker(state.incarnation):
            if stream.request_id not in here:
                self._streams.detach(stream)
        return unwanted

    def _take(self, frame: Frame) -> set[str]:
        """Pass a frame's events to their streams; return requests without a stream."""
        unwanted = set()
        for event in frame.events:
            stream = self._streams.get(event.request_id)
            if stream is None or not _is_for(stream, event, frame):
                unwanted.add(event.request_id)
                continue
            if isinstance(event, Released):
                self._streams.detach(stream)
                continue
            stream.put(event)
            self._affinity.observe(stream, event)
            if stream.is_done:
                self._streams.remove(stream)
        return unwanted


def _is_for(stream: Stream, event: Event, frame: Frame) -> bool:
    """Whether a stream accepts events of this worker.

    The queue delivers at least once, so two workers may have the request: the first
    to take it keeps the stream.
    """
    if not stream.worker:
        if isinstance(event, Taken | Accepted):
            stream.worker = frame.incarnation
            stream.control = frame.control
            stream.is_detached = False
            return True
        return isinstance(event, Refused | Released)
    return stream.worker == frame.incarnation


def _no_redis() -> EngineUnavailable:
    return EngineUnavailable(
        "Redis cannot be reached, so no request can be queued.",
        retry_after=RETRY_AFTER_S,
    )


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, EngineClient] = (
    WeakKeyDictionary()
)


def get_client() -> EngineClient:
    """Return the running event loop's client."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = EngineClient(
            queue_layer=channel_layers["queue"],
            reply_layer=channel_layers["default"],
            affinity_bound=settings.CONFIG.engine.prefix_affinity,
        )
    return client
