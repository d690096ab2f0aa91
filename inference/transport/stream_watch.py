"""Looks after streams: renews leases, notices dead workers and lost requests.

A stream whose worker died resumes in the next one from its tokens so far: the caller
sees a pause, not an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from redis.exceptions import RedisError

from inference import services, serving
from inference.errors import (
    EngineUnavailable,
    InferenceError,
    ModelLoadFailed,
    QueueTimeout,
)
from inference.transport.queue import depth, queue_name
from inference.transport.stream import RETRY_AFTER_S
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from inference.transport.frame_receiver import FrameReceiver
    from inference.transport.stream import Stream
    from inference.transport.streams import Streams
    from inference.transport.worker_heartbeats import WorkerHeartbeats
    from inference.transport.worker_lookup import WorkerLookup

logger = logging.getLogger(__name__)

#: How often workers get a Renew from this process, and streams are checked.
_WATCH_EVERY_S = 1.0
#: A worker on a node without heartbeat is lost after this much silence. What it says of
#: itself counts more than what its engine process does.
_SILENT_AFTER_S = 5.0
#: Statuses are read this often while nothing asks for them.
_READ_EVERY_S = 3.0
#: A worker that is silent for longer may be gone, so its row is looked at. One that
#: decodes says something several times a second.
_QUIET_AFTER_S = 0.25
#: A request that is in no queue and in no worker for this long is lost.
_LOST_AFTER_S = 2.0
#: A new worker takes what is in the queue within this time, so a request that was
#: queued before it and that it does not have then went with its predecessor.
_TAKEN_WITHIN_S = 0.5
#: How often a stream may lose its worker: this stops a request that crashes workers.
_MAX_ATTEMPTS = 3


class StreamWatch:
    """Looks after the streams of one web process.

    ``renew`` renews the lease at a worker, given its channel; ``close`` gives a
    stream up; ``enqueue`` queues a stream again and may raise InferenceError.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        queue_layer: Any,
        receiver: FrameReceiver,
        lookup: WorkerLookup,
        heartbeats: WorkerHeartbeats,
        renew: Callable[[str], Awaitable[None]],
        close: Callable[[Stream], Awaitable[None]],
        enqueue: Callable[[Stream], Awaitable[None]],
    ) -> None:
        self._streams = streams
        self._queue_layer = queue_layer
        self._receiver = receiver
        self._lookup = lookup
        self._heartbeats = heartbeats
        self._renew = renew
        self._close = close
        self._enqueue = enqueue
        self._look = asyncio.Event()
        #: The serving statuses of the streams' models, as of the last check.
        self.statuses: dict[int, serving.ServingStatus] = {}
        self._read_at = -math.inf

    def look_soon(self) -> None:
        """Check the streams once a new worker has had time to take their requests."""
        loop = asyncio.get_running_loop()
        loop.call_later(_TAKEN_WITHIN_S, self._look.set)

    async def run(self) -> None:
        """Check the streams forever."""
        while True:
            await self._streams.some()
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._look.wait()
            self._look.clear()
            try:
                if len(self._streams):
                    await self._look_after()
            except Exception:
                # A failed check must not end the task; the next one may succeed.
                logger.exception("Looking after the streams failed")

    async def renew_leases(self) -> None:
        """Renew the leases at the streams' workers forever; ask after broken lines.

        Nothing else is done here: a database that does not answer must cost no lease.
        """
        while True:
            if not self._receiver.unsettled():
                await self._streams.some()
            await asyncio.sleep(_WATCH_EVERY_S)
            self._receiver.forget_silent()
            controls = {s.control for s in self._streams if s.control}
            for control in controls | self._receiver.unsettled():
                try:
                    await self._renew(control)
                except Exception:
                    # The other workers need theirs.
                    logger.exception("A lease could not be renewed")

    async def _look_after(self) -> None:
        if self._is_read_due:
            await self._read_statuses()
        self._leave_lost_workers()
        lossy = await self._lossy_queues()
        for stream in self._streams:
            status = self.statuses.get(stream.queue.model_id)
            if status is None or stream.is_started or stream.is_done:
                continue
            try:
                await self._look_at(stream, status)
            except InferenceError as error:
                await self._close(stream)
                stream.fail(error)
                continue
            is_lost = stream.queue.model_id in lossy or bool(stream.sent_to)
            if is_lost and self._is_overdue(stream):
                self._streams.detach(stream)

    @property
    def _is_read_due(self) -> bool:
        """Whether any stream depends on a row, or none has been read for a while.

        A stream whose worker speaks does not.
        """
        return time.monotonic() - self._read_at >= _READ_EVERY_S or any(
            not stream.worker
            or stream.queue.model_id not in self.statuses
            or self._receiver.silent_for(stream.worker) > _QUIET_AFTER_S
            for stream in self._streams
        )

    async def _read_statuses(self) -> None:
        """Read how the streams' models are served; keep what is known if that fails."""
        queues = {stream.queue.model_id: stream.queue for stream in self._streams}
        heard = {
            w for q in queues.values() for w in self._heartbeats.serving(q.channel)
        }
        heard.update(
            stream.worker
            for stream in self._streams
            if self._receiver.silent_for(stream.worker) <= _SILENT_AFTER_S
        )
        try:
            self.statuses = await in_thread(
                serving.serving_statuses, list(queues), frozenset(heard)
            )
            self._read_at = time.monotonic()
        except DatabaseError as error:
            logger.warning("The workers' rows cannot be read: %s", error)

    def _leave_lost_workers(self) -> None:
        """Detach the streams of all workers that are lost or cut off, all at once."""
        for stream in [s for s in self._streams if s.worker and self._is_cut_off(s)]:
            # Nothing died: it is the network.
            self._streams.detach(stream)
        for stream in [s for s in self._streams if s.holder and self._is_lost(s)]:
            self._lookup.forget(stream.queue.model_id)
            self._streams.detach(stream, worker_died=True)
            if stream.attempts > _MAX_ATTEMPTS:
                self._streams.remove(stream)
                stream.fail(
                    EngineUnavailable(
                        f"The model '{stream.queue.model_name}' crashed "
                        f"{stream.attempts} times while it answered this request."
                    )
                )

    def _is_cut_off(self, stream: Stream) -> bool:
        """Whether a stream's worker says nothing here, and another one could go on."""
        return (
            self._heartbeats.is_unreachable(stream.queue.channel, stream.worker)
            and self._receiver.silent_for(stream.worker) > _SILENT_AFTER_S
        )

    def _is_lost(self, stream: Stream) -> bool:
        """Whether a stream's worker is gone, as far as is known."""
        status = self.statuses.get(stream.queue.model_id)
        if status is None or stream.holder in status.incarnations:
            return False
        if stream.holder not in status.doubtful:
            return True
        return self._receiver.silent_for(stream.holder) > _SILENT_AFTER_S

    async def _look_at(self, stream: Stream, now: serving.ServingStatus) -> None:
        """Check a stream that waits, in the queue or in a worker."""
        queue = stream.queue
        if now.stop is not None and _is_stopped(stream, now):
            raise now.stop.error(now.stop.message)
        if time.time() > stream.deadline:
            place = f", at first as number {stream.position + 1} in line,"
            raise QueueTimeout(
                f"The request waited {queue.timeout_s:.0f} s for the model "
                f"'{queue.model_name}'{place if stream.was_accepted else ''} and was "
                f"not started.{' ' if now.waits_for else ''}{now.waits_for}",
                retry_after=RETRY_AFTER_S,
            ).while_loading(now.loading)
        if stream.worker:
            return
        if now.error:
            raise ModelLoadFailed(now.error, retry_after=RETRY_AFTER_S)
        if not now.has_worker:
            await self._request_worker(stream)

    async def _request_worker(self, stream: Stream) -> None:
        heard = self._heartbeats.serving(stream.queue.channel)
        try:
            await services.ensure_worker(stream.queue.model_id, heard)
        except DatabaseError as error:
            logger.warning("The workers' rows cannot be read: %s", error)
        except EngineUnavailable:
            # A resumed request is already waiting for an engine to come back.
            if not stream.was_accepted:
                raise

    async def _lossy_queues(self) -> set[int]:
        """Return the models whose overdue requests are no longer in the queue.

        Redis was restarted, or a worker died after taking one.
        """
        overdue = {s.queue.model_id for s in self._streams if self._is_overdue(s)}
        lossy = set()
        for model_id in overdue:
            status = self.statuses.get(model_id)
            if status is not None and status.is_serving:
                with suppress(OSError, RedisError):
                    if not await depth(self._queue_layer, queue_name(model_id)):
                        lossy.add(model_id)
        return lossy

    def _is_overdue(self, stream: Stream) -> bool:
        """Whether a stream has been queued for longer than a worker needs to take it.

        Until a worker comes it has all the time; then its request is in the queue, or
        lost. The worker to which it was sent takes it at once, or all may.
        """
        if stream.worker or stream.is_detached:
            return False
        now = time.time()
        began_at = self._heartbeats.began_at(stream.queue.channel)
        is_missed = stream.queued_at < began_at <= now - _TAKEN_WITHIN_S
        return is_missed or now - stream.queued_at > _LOST_AFTER_S

    async def requeue(self) -> None:
        """Queue detached streams again, forever; after a failure retry later.

        A full queue or an unavailable Redis does not end an accepted request: only the
        deadline does.
        """
        while True:
            await self._streams.some()
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._streams.detached.wait()
            self._streams.detached.clear()
            full: set[int] = set()
            for stream in [s for s in self._streams if s.is_detached]:
                model_id = stream.queue.model_id
                if model_id in full or stream.is_done:
                    continue
                if _is_stopped(stream, self.statuses.get(model_id)):
                    # The next check ends it: no worker may take it before.
                    continue
                request_id = stream.request_id
                try:
                    await self._enqueue(stream)
                except InferenceError as error:
                    logger.warning("Streams cannot be queued again yet: %s", error)
                    full.add(model_id)
                except Exception:
                    # One stream must not hold up the others.
                    logger.exception("A stream could not be queued again")
                else:
                    stream.queued_at = time.time()
                    # A worker may have taken and released it in the meantime.
                    stream.is_detached = stream.request_id != request_id


def _is_stopped(stream: Stream, status: serving.ServingStatus | None) -> bool:
    """Whether an administrator's order ends a stream that no worker has."""
    stop = status.stop if status is not None else None
    return stop is not None and not stream.worker and stream.arrived_at <= stop.until
