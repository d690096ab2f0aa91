"""Connects a model server to Redis: its queue, the web processes and its peers."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from inference.transport.codec import ProtocolError, from_wire
from inference.transport.messages.commands import Abort, Renew, Resend
from inference.transport.messages.peers import Beat, StealRequests, WorkerHeartbeat
from inference.transport.messages.running import AskRunning, LineOfWorker
from inference.transport.queue import (
    PATIENCE_ALONE_S,
    PATIENCE_S,
    hand_over,
    own_queue,
)
from inference.transport.running.questions import WORKERS, answer
from inference.worker.model_server import ModelServer
from inference.worker.queue.receiver import QueueReceiver
from inference.worker.queue.replies import Replies
from inference.worker.queue.work_stealing import WorkStealing
from llm_manager.lib.tracing.choice import is_on

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from inference.engine.backend import Backend
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.transport.messages.events import Event
    from inference.transport.messages.requests import QueuedRequest
    from inference.worker.node_pipe import Drain, WorkerReport, WorkerSpec
    from inference.worker.queue.request_spans import RequestSpans

logger = logging.getLogger(__name__)


class QueueServer:
    """Takes requests from the queue and sends the events of its model as frames.

    It takes them whether or not they can start, because the model's engine is fair
    between keys and the queue is not. ``queue_layer`` is the channel layer of the
    queue, ``reply_layer`` that of frames and commands; ``has_machines``: others may be
    connected to the same Redis.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        queue_layer: Any,
        reply_layer: Any,
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend | EmbeddingBackend],
        has_machines: bool = True,
    ) -> None:
        self._queue_layer = queue_layer
        self._reply_layer = reply_layer
        self._queue = spec.queue
        self._replies = Replies(reply_layer, spec.incarnation)
        self._spans = _spans_of(spec)
        self.model = ModelServer(
            spec,
            reply=self._replies.put if self._spans is None else self._reply_traced,
            report=report,
            load=load,
            on_change=self._changed,
            on_ready=self._ready,
        )
        self._stealing = WorkStealing(
            reply_layer,
            spec,
            self.model,
            needs_beats=lambda: self._replies.has_leases,
            has_machines=has_machines,
        )
        self._receiver = QueueReceiver(
            queue_layer,
            spec.queue,
            stealing=self._stealing,
            accept=self._accept,
            patience_s=PATIENCE_S if has_machines else PATIENCE_ALONE_S,
        )
        self._own_queue = own_queue(spec.queue, spec.incarnation)

    async def run(self) -> int:
        """Serve until drained; return the process's exit code."""
        model = self.model
        control = await self._reply_layer.new_channel("control.")
        self._replies.open(control)
        await self._stealing.open(control)
        await self._reply_layer.group_add(WORKERS, control)
        model.start()
        sending = asyncio.create_task(self._replies.run(model.finished))
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._receiver.run(),
                self._receiver.take_own(self._own_queue),
                self._stealing.send_heartbeats(),
                self._stealing.steal(),
                self._listen(control),
                model.send_reports(),
                model.finished.wait(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            model.note_failures(done)
            model.finished.set()
            # The events of the last step may still be on their way.
            self._replies.flush()
            await sending
            await self._leave()
            # The node counts what was served until the end.
            model.send_report()
        finally:
            model.close()
            for task in [*tasks, sending]:
                task.cancel()
            await asyncio.gather(*tasks, sending, return_exceptions=True)
        return model.exit_code

    def drain(self, command: Drain | None = None) -> None:
        """Take no more requests, and finish when none is left."""
        self.model.drain(command)
        self._stealing.announce()

    async def _leave(self) -> None:
        """Leave to others what was sent to this worker and not taken."""
        with suppress(OSError, RedisError):
            await self._stealing.send_heartbeat()
            await hand_over(self._queue_layer, self._own_queue, self._queue)

    def _ready(self) -> None:
        self._receiver.open()
        self._stealing.announce()

    def _changed(self) -> None:
        if self.model.is_serving:
            self._receiver.open()
        else:
            self._receiver.close()
        self._stealing.update()

    def _accept(self, queued: QueuedRequest) -> None:
        if time.time() > queued.deadline:
            return
        self._replies.renew(queued.reply_to)
        if self._spans is not None:
            self._spans.begin(queued)
        self._stealing.note(queued.request)
        self.model.accept(queued.request, queued.reply_to)

    def _reply_traced(self, reply_to: str, event: Event) -> None:
        if self._spans is not None:
            self._spans.observe(event)
        self._replies.put(reply_to, event)

    def _cancel(self, request_ids: Collection[str]) -> None:
        """Forget requests: nobody waits for them."""
        if self._spans is not None:
            self._spans.end(request_ids)
        self.model.cancel(request_ids)

    async def _listen(self, control: str) -> None:
        """Handle commands from web processes and messages from other workers."""
        model = self.model
        while True:
            try:
                command = from_wire(await self._reply_layer.receive(control))
            except ProtocolError:
                logger.exception("A command of another version is dropped")
                continue
            match command:
                case Abort(request_ids):
                    self._cancel(request_ids)
                case Renew(reply_to):
                    self._replies.renew(reply_to)
                    here = model.requests_of({reply_to})
                    await self._replies.send_state(reply_to, here)
                case Resend(reply_to, seq):
                    here = model.requests_of({reply_to})
                    await self._replies.resend(reply_to, seq, here)
                case Beat():
                    # Nobody waits for the answers of a web process that is gone.
                    gone = await self._replies.beat(self._queue_layer.connection(0))
                    self._cancel(model.requests_of(gone))
                case WorkerHeartbeat():
                    self._stealing.put(command)
                case AskRunning(place):
                    waiting = tuple(model.line())
                    line = LineOfWorker(self._queue, waiting, model.prefills())
                    redis = self._queue_layer.connection(0)
                    await answer(redis, self._reply_layer, place, line)
                case StealRequests(room):
                    model.release_first(min(room, model.surplus))


def _spans_of(spec: WorkerSpec) -> RequestSpans | None:
    """Return what makes spans, if this process sends any."""
    if not is_on():
        return None
    from inference.worker.queue.request_spans import RequestSpans

    return RequestSpans(spec)
