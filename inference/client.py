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
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
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
    RequestRejected,
)
from inference.inbox import Inbox
from inference.protocol import (
    Abort,
    Accepted,
    Command,
    Event,
    Failed,
    Finished,
    Frame,
    Generate,
    ProtocolError,
    Renew,
    Resend,
    TokensGenerated,
    from_wire,
    queue_name,
    to_wire,
)
from inference.threads import in_thread

if TYPE_CHECKING:
    from inference.engine.sampling_params import SamplingParams

logger = logging.getLogger(__name__)

#: How often workers hear that this process lives, and streams are looked after.
_WATCH_EVERY_S = 1.0
#: How long a model that serves is taken to go on serving without asking.
_TRUST_S = 1.0
#: A worker of a machine without heartbeat is lost once it is silent for this long.
_SILENT_AFTER_S = 5.0
#: A request that an idle worker has not taken for this long was lost with Redis.
_LOST_AFTER_S = 5.0
#: How often a stream may lose its worker: a request that kills workers ends here.
_MAX_ATTEMPTS = 3
#: Seconds after which a client may try again when no worker could be had.
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence to generate. ``timeout_s`` bounds the wait for its start."""

    model_id: int
    model_name: str
    prompt: str | list[int]
    params: SamplingParams
    special: bool
    tenant: str
    key: str
    timeout_s: float


@dataclass(eq=False)
class Stream:
    """The events of one job."""

    client: EngineClient
    job: Job
    request_id: str
    deadline: float
    queued_at: float
    owner: str = ""
    control: str = ""
    attempts: int = 0
    is_detached: bool = False
    tokens: list[int] = field(default_factory=list)
    is_done: bool = False
    _events: deque[Event] = field(default_factory=deque)
    _error: InferenceError | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for events and return all that are there; [] after ``timeout_s``.

        The last one is Finished. Raises InferenceError when the job cannot be
        done.
        """
        if not self._events and self._error is None:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), timeout_s)
            except TimeoutError:
                return []
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
            case TokensGenerated():
                self.tokens.extend(event.tokens)
            case Finished():
                self.is_done = True
            case Failed():
                self.fail(_error(event))
                return
        self._events.append(event)
        self._changed.set()

    def fail(self, error: InferenceError) -> None:
        """End the stream with an error."""
        self.is_done = True
        self._error = error
        self._changed.set()


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

    async def submit(self, job: Job) -> Stream:
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
        if await services.ensure_worker(model_id):
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
                ]

    async def _enqueue(self, stream: Stream) -> None:
        job = stream.job
        message = Generate(
            request_id=stream.request_id,
            reply_to=self._reply_to,
            prompt=job.prompt,
            params=job.params,
            deadline=stream.deadline,
            special=job.special,
            resume=tuple(stream.tokens),
            tenant=job.tenant,
            key=job.key,
        )
        try:
            await self._queue.send(queue_name(job.model_id), to_wire(message))
        except ChannelFull:
            raise QueueFull(
                f"Too many requests wait for the model '{job.model_name}'. "
                "Try again later.",
                retry_after=_RETRY_AFTER_S,
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
            if not (isinstance(event, Accepted) and stream.attempts):
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
        refused = isinstance(event, Failed) and not stream.owner
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
        situations = await in_thread(services.model_situations, list(models))
        self._detach(situations)
        for stream in list(self._streams.values()):
            situation = situations.get(stream.job.model_id)
            if situation is None or stream.owner or stream.is_done:
                continue
            try:
                await self._look_at(stream, situation)
            except InferenceError as error:
                stream.fail(error)
                self._streams.pop(stream.request_id, None)

    def _detach(self, situations: dict[int, services.ModelSituation]) -> None:
        """Take the streams of every worker that is lost from it, all at once.

        They get new ids: what still comes under the old ones is unwanted.
        """
        alive = {name for s in situations.values() for name in s.incarnations}
        doubtful = {name for s in situations.values() for name in s.doubtful}
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
            stream.owner = stream.control = ""
            stream.attempts += 1
            stream.is_detached = True
            stream.deadline = time.time() + stream.job.timeout_s
            self._rename(stream)

    def _rename(self, stream: Stream) -> None:
        self._streams.pop(stream.request_id, None)
        stream.request_id = uuid.uuid4().hex
        self._streams[stream.request_id] = stream

    async def _look_at(self, stream: Stream, now: services.ModelSituation) -> None:
        """Look after a stream that no worker has."""
        if stream.attempts > _MAX_ATTEMPTS:
            raise EngineUnavailable(
                f"The model '{stream.job.model_name}' crashed {stream.attempts} times "
                "while it answered this request."
            )
        if now.error:
            raise ModelLoadFailed(now.error, retry_after=_RETRY_AFTER_S)
        if time.time() > stream.deadline:
            raise QueueTimeout(
                f"The request waited {stream.job.timeout_s:.0f} s for the model "
                f"'{stream.job.model_name}' and was not started.",
                retry_after=_RETRY_AFTER_S,
            )
        waited = time.time() - stream.queued_at
        if not now.has_worker:
            await self._wish(stream)
        if stream.is_detached or (now.has_room and waited > _LOST_AFTER_S):
            await self._enqueue_anew(stream)

    async def _wish(self, stream: Stream) -> None:
        try:
            await services.ensure_worker(stream.job.model_id)
        except EngineUnavailable:
            # An answer that has begun waits for the engine to come back.
            if not stream.attempts:
                raise

    async def _enqueue_anew(self, stream: Stream) -> None:
        """Queue a stream once more, unless it was closed meanwhile.

        A full queue or an absent Redis is no end of what was accepted: the next
        look tries again, until the deadline.
        """
        if stream.is_done:
            return
        self._rename(stream)
        try:
            await self._enqueue(stream)
        except (QueueFull, EngineUnavailable) as error:
            logger.warning("A stream cannot be queued again yet: %s", error)
        else:
            stream.is_detached = False
            stream.queued_at = time.time()
        if stream.is_done:
            self._streams.pop(stream.request_id, None)


def _error(event: Failed) -> InferenceError:
    if event.code == "decode_failed":
        return EngineUnavailable(event.message, retry_after=_RETRY_AFTER_S)
    return RequestRejected(event.message, code=event.code, param=event.param)


def _no_redis() -> EngineUnavailable:
    return EngineUnavailable(
        "Redis cannot be reached, so no request can be queued.",
        retry_after=_RETRY_AFTER_S,
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
