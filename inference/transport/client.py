"""The web side: hand a job to whichever worker has its model, follow its events.

One client per event loop. It owns the web process's reply channel, fans frames
out to streams, asks again for frames that were lost, and hands a stream whose
worker died to the next one, with the tokens that it has: the caller sees a
pause, not an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from channels.exceptions import ChannelFull
from channels.layers import channel_layers
from redis.exceptions import RedisError

from inference import services
from inference.errors import (
    EngineUnavailable,
    InferenceError,
    ModelLoadFailed,
    QueueFull,
    QueueTimeout,
    queue_full_message,
)
from inference.transport import queue as request_queue
from inference.transport.frame_receiver import Inbox
from inference.transport.messages import (
    Abort,
    Accepted,
    Command,
    Event,
    Failed,
    Frame,
    ProtocolError,
    Released,
    Renew,
    Resend,
    from_wire,
    queue_name,
    to_wire,
)
from inference.transport.stream import RETRY_AFTER_S, AnyJob, Stream
from llm_manager.lib.threads import in_thread

logger = logging.getLogger(__name__)

#: How often workers hear that this process lives, and streams are looked after.
_WATCH_EVERY_S = 1.0
#: How long a model that serves is taken to go on serving without asking.
_TRUST_S = 1.0
#: A worker of a machine without heartbeat is lost once it is silent for this long.
_SILENT_AFTER_S = 5.0
#: A request that is in no queue and that no worker has taken for so long is lost.
_LOST_AFTER_S = 2.0
#: How often a stream may lose its worker: a request that kills workers ends here.
_MAX_ATTEMPTS = 3
#: An answer that has begun goes on before anything else of its key starts: below
#: every priority that a request may have.
_FIRST_OF_ALL = -1000


class EngineClient:
    """Every stream of one web process."""

    def __init__(self, *, queue: Any, replies: Any) -> None:
        self._queue = queue
        self._replies = replies
        self._streams: dict[str, Stream] = {}
        self._inbox = Inbox()
        self._reply_to = ""
        self._starting = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._serving: dict[int, float] = {}
        self._asking: dict[int, asyncio.Task[bool]] = {}
        self._statuses: dict[int, services.ServingStatus] = {}
        self._detached = asyncio.Event()

    async def submit(self, job: AnyJob) -> Stream:
        """Queue a job; return its stream.

        Raises QueueFull, EngineUnavailable, ModelLoadFailed.
        """
        await self._start()
        await self._ensure_worker(job.model_id)
        now = time.time()
        stream = Stream(
            client=self,
            job=job,
            request_id=uuid.uuid4().hex,
            deadline=now + job.timeout_s,
            queued_at=now,
        )
        self._streams[stream.request_id] = stream
        try:
            await self._enqueue(stream)
        except BaseException:
            self._streams.pop(stream.request_id, None)
            raise
        return stream

    async def _ensure_worker(self, model_id: int) -> None:
        """See to it that a worker serves, asking the database now and then.

        If the worker dies meanwhile, the next look at the streams notices.
        """
        if time.monotonic() < self._serving.get(model_id, 0.0):
            return
        asking = self._asking.get(model_id)
        if asking is None:
            asking = asyncio.create_task(services.ensure_worker(model_id))
            self._asking[model_id] = asking
            asking.add_done_callback(partial(self._asked, model_id))
        # Many may wait for the answer, and one of them that goes away is only one.
        await asyncio.shield(asking)

    def _asked(self, model_id: int, asking: asyncio.Task[bool]) -> None:
        del self._asking[model_id]
        if not asking.cancelled() and asking.exception() is None and asking.result():
            self._serving[model_id] = time.monotonic() + _TRUST_S

    async def close(self, stream: Stream) -> None:
        """Forget a stream; its worker drops the sequence within a step."""
        self._streams.pop(stream.request_id, None)
        was_done, stream.is_done = stream.is_done, True
        if not was_done and stream.control:
            await self._command(stream.control, Abort((stream.request_id,)))

    async def aclose(self) -> None:
        """End the client's tasks. Its streams get no more events."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _start(self) -> None:
        """Open the reply channel and the tasks behind it, once."""
        async with self._starting:
            if not self._tasks or any(task.done() for task in self._tasks):
                for task in self._tasks:
                    task.cancel()
                try:
                    self._reply_to = await self._replies.new_channel("reply.")
                except (OSError, RedisError) as error:
                    raise _no_redis() from error
                self._tasks = [
                    asyncio.create_task(self._receive()),
                    asyncio.create_task(self._watch()),
                    asyncio.create_task(self._requeue()),
                ]

    async def _enqueue(self, stream: Stream) -> None:
        job = stream.job
        priority = _FIRST_OF_ALL if stream.attempts else job.priority
        message = job.message(stream, self._reply_to, priority)
        queue = queue_name(job.model_id)
        try:
            await self._queue.send(queue, to_wire(message))
        except ChannelFull:
            status = self._statuses.get(job.model_id)
            waiting = self._queue.get_capacity(queue)
            waiting += status.waiting if status else 0
            raise QueueFull(
                queue_full_message(job.model_name, waiting),
                retry_after=RETRY_AFTER_S,
            ) from None
        except (OSError, RedisError) as error:
            raise _no_redis() from error

    async def _command(self, control: str, command: Command) -> None:
        try:
            await self._replies.send(control, to_wire(command))
        except (OSError, RedisError):
            # A worker that hears nothing for a while stops by itself.
            logger.warning("Redis is away; a command to a worker is lost")

    # Events -------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            try:
                message = from_wire(await self._replies.receive(self._reply_to))
                if isinstance(message, Frame):
                    await self._handle(message)
            except ProtocolError:
                logger.exception("A frame of another version is dropped")
            except Exception:
                # Whatever one frame does, the next ones must come through.
                logger.exception("A frame could not be handled")

    async def _handle(self, message: Frame) -> None:
        unwanted = {
            request_id
            for frame in self._inbox.put(message)
            for request_id in self._take(frame)
        }
        missing = self._inbox.missing(message)
        if unwanted:
            await self._command(message.control, Abort(tuple(unwanted)))
        if missing is not None:
            await self._command(message.control, Resend(self._reply_to, missing))

    def _take(self, frame: Frame) -> tuple[str, ...]:
        """Hand a frame's events to their streams; return what nobody wants."""
        unwanted = set()
        for event in frame.events:
            stream = self._streams.get(event.request_id)
            if stream is None or not self._is_for(stream, event, frame):
                unwanted.add(event.request_id)
                continue
            if isinstance(event, Released):
                self._let_go(stream)
                continue
            stream.put(event)
            if stream.is_done:
                del self._streams[stream.request_id]
        return tuple(unwanted)

    def _is_for(self, stream: Stream, event: Event, frame: Frame) -> bool:
        """Whether a stream takes an event of this worker.

        The queue delivers at least once, so two workers may have the request:
        the first to accept it owns the stream.
        """
        if isinstance(event, Accepted) and not stream.owner:
            stream.owner = frame.incarnation
            stream.control = frame.control
            stream.is_detached = False
        refused = isinstance(event, Failed | Released) and not stream.owner
        return refused or stream.owner == frame.incarnation

    # Watching over streams ----------------------------------------------------

    async def _watch(self) -> None:
        """Keep leases, notice dead workers, failed loads and lost requests."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                if self._streams:
                    await self._look_after()
            except Exception:
                # One failed look must not end the watching; the next may do.
                logger.exception("Looking after the streams failed")

    async def _look_after(self) -> None:
        for control in {s.control for s in self._streams.values() if s.control}:
            await self._command(control, Renew(self._reply_to))
        models = {stream.job.model_id for stream in self._streams.values()}
        self._statuses = await in_thread(services.serving_statuses, list(models))
        self._leave_lost_workers()
        lossy = await self._lossy_queues()
        for stream in list(self._streams.values()):
            status = self._statuses.get(stream.job.model_id)
            if status is None or stream.is_started or stream.is_done:
                continue
            try:
                await self._look_at(stream, status)
            except InferenceError as error:
                await self.close(stream)
                stream.fail(error)
                continue
            if stream.job.model_id in lossy and self._is_overdue(stream):
                self._let_go(stream)

    def _leave_lost_workers(self) -> None:
        """Take the streams of every worker that is lost from it, all at once."""
        statuses = self._statuses.values()
        alive = {name for s in statuses for name in s.incarnations}
        doubtful = {name for s in statuses for name in s.doubtful}
        lost = set()
        for owner in {s.owner for s in self._streams.values() if s.owner}:
            silent = self._inbox.silent_for(owner) > _SILENT_AFTER_S
            if owner not in alive and (owner not in doubtful or silent):
                self._inbox.forget(owner)
                lost.add(owner)
            elif self._inbox.is_broken(owner):
                self._inbox.resync(owner)
                lost.add(owner)
        for stream in [s for s in self._streams.values() if s.owner in lost]:
            self._serving.pop(stream.job.model_id, None)
            self._let_go(stream)
            if stream.attempts > _MAX_ATTEMPTS:
                self._streams.pop(stream.request_id, None)
                stream.fail(
                    EngineUnavailable(
                        f"The model '{stream.job.model_name}' crashed "
                        f"{stream.attempts} times while it answered this request."
                    )
                )

    async def _look_at(self, stream: Stream, now: services.ServingStatus) -> None:
        """Look after a stream that waits, in the queue or in a worker."""
        job = stream.job
        if time.time() > stream.deadline:
            place = f", at first as number {stream.position + 1} in line,"
            raise QueueTimeout(
                f"The request waited {job.timeout_s:.0f} s for the model "
                f"'{job.model_name}'{place if stream.was_accepted else ''} and was "
                "not started.",
                retry_after=RETRY_AFTER_S,
            )
        if stream.owner:
            return
        if now.error:
            raise ModelLoadFailed(now.error, retry_after=RETRY_AFTER_S)
        if not now.has_worker:
            await self._wish(stream)

    async def _wish(self, stream: Stream) -> None:
        try:
            await services.ensure_worker(stream.job.model_id)
        except EngineUnavailable:
            # What a worker has had already waits for an engine to come back.
            if not stream.was_accepted:
                raise

    # Queueing again -----------------------------------------------------------

    def _is_overdue(self, stream: Stream) -> bool:
        """Whether a stream is in the queue for longer than a worker needs."""
        if stream.owner or stream.is_detached:
            return False
        return time.time() - stream.queued_at > _LOST_AFTER_S

    async def _lossy_queues(self) -> set[int]:
        """Return the models whose overdue requests are in no queue any more.

        Redis was restarted, or a worker died with one in its hands.
        """
        overdue = {
            s.job.model_id for s in self._streams.values() if self._is_overdue(s)
        }
        lossy = set()
        for model_id in overdue:
            status = self._statuses.get(model_id)
            if status is not None and status.is_serving:
                with suppress(OSError, RedisError):
                    queue = queue_name(model_id)
                    if not await request_queue.depth(self._queue, queue):
                        lossy.add(model_id)
        return lossy

    def _let_go(self, stream: Stream) -> None:
        """Have a stream queued again, under a new id: nobody wants the old one's."""
        stream.let_go(time.time())
        self._streams.pop(stream.request_id, None)
        stream.request_id = uuid.uuid4().hex
        self._streams[stream.request_id] = stream
        self._detached.set()

    async def _requeue(self) -> None:
        """Queue what has no worker any more, at once; what fails, again later.

        A full queue or an absent Redis is no end of what was accepted: only the
        deadline is.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._detached.wait()
            self._detached.clear()
            full: set[int] = set()
            for stream in [s for s in self._streams.values() if s.is_detached]:
                if stream.job.model_id in full or stream.is_done:
                    continue
                request_id = stream.request_id
                try:
                    await self._enqueue(stream)
                except InferenceError as error:
                    logger.warning("Streams cannot be queued again yet: %s", error)
                    full.add(stream.job.model_id)
                except Exception:
                    # One stream must not keep the others from going on.
                    logger.exception("A stream could not be queued again")
                else:
                    stream.queued_at = time.time()
                    # It may have been taken and released in the meantime.
                    stream.is_detached = stream.request_id != request_id


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
            queue=channel_layers["queue"], replies=channel_layers["default"]
        )
    return client
