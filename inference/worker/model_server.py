"""Serves one loaded model: takes requests from its queue, sends its engine's events."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from inference.engine.core import EngineCore
from inference.engine.embedding.core import EmbeddingCore
from inference.engine.prefix_cache.disk_cache import open_disk_cache
from inference.engine.request import GenerationRequest, PoolingRequest
from inference.engine.runner import Add, Cancel, EngineRunner
from inference.errors import QueueFull, queue_full_message
from inference.transport.codec import ProtocolError, from_wire
from inference.transport.messages.commands import Abort, Renew, Resend
from inference.transport.messages.events import (
    Accepted,
    Detokenized,
    Refused,
    Released,
    Taken,
    Tokenized,
)
from inference.transport.messages.peers import Beat, StealRequests, WorkerHeartbeat
from inference.worker.node_pipe import Drain, WorkerReport, WorkerSpec
from inference.worker.pending import AcceptedRequests
from inference.worker.preparation import Preparation
from inference.worker.prepare_request import (
    has_slow_sampler,
    is_quick,
    prepare_request,
    too_slow,
)
from inference.worker.queue_receiver import QueueReceiver
from inference.worker.replies import Replies
from inference.worker.work_stealing import WorkStealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.backend import Backend
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.output import PoolingOutput, SequenceOutput
    from inference.engine.request import ComputeRequest, ModelRequest
    from inference.engine.runner import Core
    from inference.transport.messages.requests import QueuedRequest
    from inference.worker.pending import AcceptedRequest

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_REPORT_EVERY_S = 1.0
#: How many waiting requests of one key may hold what their samplers need: a grammar and
#: a DRY sampler may take some 25 MB together. The next one is prepared when one starts.
_AHEAD = 4


class ModelServer:
    """Takes requests from the queue and sends the engine's outputs as events.

    It takes them whether or not they can start: pending requests wait in the engine,
    which is fair between keys, because the queue is not. ``queue_layer`` is the channel
    layer of the queue, ``reply_layer`` that of frames and commands.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        queue_layer: Any,
        reply_layer: Any,
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend | EmbeddingBackend],
    ) -> None:
        self._spec = spec
        self._queue_layer = queue_layer
        self._reply_layer = reply_layer
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._status = WorkerReport(state="loading")
        self._backend: Any = None
        self._n_seq_max = 0
        self._accepted = AcceptedRequests()
        self._preparation = Preparation(
            on_error=self._failed, on_idle=self._load_changed
        )
        #: Set whenever a request may have started or gone.
        self._moved = asyncio.Event()
        self._finished = asyncio.Event()
        self._replies = Replies(reply_layer, spec.incarnation)
        self._stealing = WorkStealing(reply_layer, spec, self)
        self._receiver = QueueReceiver(
            queue_layer, spec.queue, stealing=self._stealing, accept=self._accept
        )
        self._runner = EngineRunner(
            partial(load, self._in_loop(self._progressed)),
            on_ready=self._in_loop(self._loaded),
            on_outputs=self._in_loop(self._stepped),
            on_failed=self._in_loop(self._failed),
            make_core=partial(_core_of, spec.engine),
        )

    async def run(self) -> int:
        """Serve until drained; return the process's exit code."""
        control = await self._reply_layer.new_channel("control.")
        self._replies.open(control)
        await self._stealing.open(control)
        self._runner.start()
        sending = asyncio.create_task(self._replies.run(self._finished))
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._receiver.run(),
                self._stealing.send_heartbeats(),
                self._stealing.steal(),
                self._listen(control),
                self._send_reports(),
                self._finished.wait(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for error in [task.exception() for task in done]:
                if error is not None:
                    logger.error("The worker's I/O failed", exc_info=error)
                    self._failed(error)
            self._finished.set()
            # The events of the last step may still be on their way.
            self._replies.flush()
            await sending
            # The node counts what was served until the end.
            self._set()
        finally:
            self._preparation.close()
            self._runner.stop(0)
            for task in [*tasks, sending]:
                task.cancel()
            await asyncio.gather(*tasks, sending, return_exceptions=True)
        return 1 if self._status.state == "failed" else 0

    def drain(self, command: Drain | None = None) -> None:
        """Take no more requests, and finish when none is left.

        A second command may end what the first one has left running.
        """
        command = command or Drain()
        if self._status.state in ("loading", "ready"):
            self._set(state="draining")
            self._receiver.close()
        pending = self._accepted.first(self._accepted.num_pending)
        leaving = list(self._accepted) if command.is_now else pending
        if command.code:
            self._end(leaving, command.code, command.message)
        else:
            self._release(leaving)
        self._load_changed()

    # Load: what work stealing goes by ---------------------------------------------

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests."""
        return self._status.state == "ready"

    @property
    def room(self) -> int:
        """How many more requests could start at once."""
        return self._n_seq_max - len(self._accepted) if self.is_serving else 0

    @property
    def num_pending(self) -> int:
        """How many requests have not started."""
        return self._accepted.num_pending

    @property
    def surplus(self) -> int:
        """How many pending requests cannot start here yet.

        Requests without a free slot are known at once, those that the engine holds back
        for another reason after its next step.
        """
        held_back = min(self._runner.stats.num_waiting, self.num_pending)
        return max(len(self._accepted) - self._n_seq_max, held_back)

    def _load_changed(self) -> None:
        self._stealing.update()
        self._moved.set()
        is_empty = not self._accepted and self._preparation.is_idle
        if self._status.state == "draining" and is_empty:
            self._finished.set()

    # Called by the engine thread, in the loop -------------------------------------

    def _in_loop(self, method: Callable[[_T], None]) -> Callable[[_T], None]:
        """Return a function for the engine thread that calls a method in the loop."""

        def call(argument: _T) -> None:
            # After the loop is closed nobody listens.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(method, argument)

        return call

    def _progressed(self, progress: float) -> None:
        if self._status.state == "loading" and progress - self._status.progress > 0.02:
            self._set(progress=progress)

    def _loaded(self, backend: Backend | EmbeddingBackend) -> None:
        if self._status.state != "loading":
            return
        self._backend = backend
        self._n_seq_max = backend.layout.n_seq_max
        self._set(
            state="ready",
            progress=1.0,
            n_ctx_max=backend.n_ctx_max,
            n_seq_max=backend.layout.n_seq_max,
        )
        self._receiver.open()
        self._stealing.announce()
        self._load_changed()

    def _failed(self, error: BaseException) -> None:
        message = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        self._set(state="failed", error=message)
        self._finished.set()

    def _stepped(self, outputs: list[SequenceOutput | PoolingOutput]) -> None:
        for output in outputs:
            request = self._accepted.get(output.request_id)
            if request is None:
                continue
            if output.is_start:
                # A preempted sequence starts a second time.
                if request.is_started:
                    continue
                self._accepted.start(request)
            self._replies.put(request.reply_to, output)
            if output.is_last:
                self._remove(output.request_id)
        self._load_changed()

    # Requests -----------------------------------------------------------------

    def _accept(self, queued: QueuedRequest) -> None:
        """Take a request, unless too many are pending, and prepare it."""
        request, reply_to = queued.request, queued.reply_to
        # The queue delivers at least once, so a request may come twice.
        if self._accepted.get(request.request_id) or time.time() > queued.deadline:
            return
        self._replies.renew(reply_to)
        if not self.is_serving:
            # This worker began to drain in the meantime.
            self._replies.put(reply_to, Released(request.request_id))
            return
        accepted = self._accepted.add(request, reply_to)
        if self._is_full() and self._refuse_last() is accepted:
            return
        if is_quick(request) and not self._preparation.has(accepted.key):
            self._begin(accepted, self._prepared(request))
        else:
            # It may take longer than a web process waits for a word.
            self._replies.put(reply_to, Taken(request.request_id))
            job = partial(self._prepare, accepted, request)
            self._preparation.put(accepted.key, job)
        self._load_changed()

    async def _prepare(self, accepted: AcceptedRequest, request: ModelRequest) -> None:
        """Prepare a request, if it is still wanted when its turn comes."""
        if has_slow_sampler(request):
            await self._wait_for_turn(accepted)
        if not self._has(accepted):
            return
        if is_quick(request):
            self._begin(accepted, self._prepared(request))
        else:
            prepared = await self._preparation.in_thread(
                partial(self._prepared, request),
                on_overdue=partial(self._refuse, accepted, too_slow(request)),
            )
            is_ready = isinstance(prepared, GenerationRequest)
            accepted.holds_sampler = is_ready and has_slow_sampler(request)
            if self._has(accepted):
                self._begin(accepted, prepared)
            else:
                self._release_sampler(accepted)
        self._load_changed()

    async def _wait_for_turn(self, accepted: AcceptedRequest) -> None:
        """Wait until few requests of the key hold samplers that they do not use yet."""
        while self._has(accepted) and self._accepted.num_ahead(accepted.key) >= _AHEAD:
            self._moved.clear()
            await self._moved.wait()

    def _prepared(
        self, request: ModelRequest
    ) -> ComputeRequest | Tokenized | Detokenized | Refused:
        return prepare_request(request, self._backend, self._spec.engine)

    def _begin(
        self,
        accepted: AcceptedRequest,
        prepared: ComputeRequest | Tokenized | Detokenized | Refused,
    ) -> None:
        """Add a prepared request to the engine, or pass its answer on."""
        if isinstance(prepared, Refused):
            self._refuse(accepted, prepared)
            return
        request_id, num_prompt, position = accepted.request_id, 0, 0
        if isinstance(prepared, GenerationRequest | PoolingRequest):
            num_prompt = prepared.num_prompt
            position = self._accepted.position(accepted)
            self._runner.send(Add(prepared))
        spec = self._spec
        reply = partial(self._replies.put, accepted.reply_to)
        reply(
            Accepted(
                request_id,
                num_prompt,
                position,
                fingerprint=spec.engine.fingerprint,
                node=spec.node,
                replica=spec.replica,
            )
        )
        if isinstance(prepared, Tokenized | Detokenized):
            reply(prepared)
            self._remove(request_id)

    def _has(self, accepted: AcceptedRequest) -> bool:
        return self._accepted.get(accepted.request_id) is accepted

    def _refuse(self, accepted: AcceptedRequest, refused: Refused) -> None:
        """Refuse a request that the engine does not have."""
        if self._remove(accepted.request_id):
            self._replies.put(accepted.reply_to, refused)

    def _remove(self, request_id: str) -> bool:
        """Forget a request; return whether it was there."""
        removed = self._accepted.remove(request_id)
        if removed is not None:
            self._release_sampler(removed)
        return removed is not None

    def _release_sampler(self, accepted: AcceptedRequest) -> None:
        """Keep what a request's sampler needs no longer. Idempotent."""
        if accepted.holds_sampler:
            accepted.holds_sampler = False
            self._backend.release(accepted.request_id)

    def _is_full(self) -> bool:
        return len(self._accepted) > self._n_seq_max + self._spec.max_waiting

    def _refuse_last(self) -> AcceptedRequest:
        """Refuse the last pending request; return it."""
        last = self._accepted.last()
        self._cancel([last.request_id])
        message = queue_full_message(self._spec.model_name, self.num_pending)
        refused = Refused(last.request_id, QueueFull.code, message)
        self._replies.put(last.reply_to, refused)
        return last

    def _release(self, requests: list[AcceptedRequest]) -> None:
        """Release requests: their web processes queue them again."""
        self._cancel([each.request_id for each in requests])
        for each in requests:
            self._replies.put(each.reply_to, Released(each.request_id))

    def _end(self, requests: list[AcceptedRequest], code: str, message: str) -> None:
        """End requests with an error."""
        self._cancel([each.request_id for each in requests])
        for each in requests:
            self._replies.put(each.reply_to, Refused(each.request_id, code, message))

    def _cancel(self, request_ids: Iterable[str]) -> None:
        unfinished = [each for each in request_ids if self._remove(each)]
        if unfinished:
            self._runner.send(Cancel(tuple(unfinished)))
            self._load_changed()

    # Commands and reports -------------------------------------------------------

    async def _listen(self, control: str) -> None:
        """Handle commands from web processes and messages from other workers."""
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
                    await self._replies.send_state(reply_to, self._of({reply_to}))
                case Resend(reply_to, seq):
                    await self._replies.resend(reply_to, seq, self._of({reply_to}))
                case Beat():
                    # Nobody waits for the answers of a web process that is gone.
                    gone = await self._replies.beat(self._queue_layer.connection(0))
                    self._cancel(self._of(gone))
                case WorkerHeartbeat():
                    self._stealing.put(command)
                    self._load_changed()
                case StealRequests(room):
                    count = min(room, self.surplus)
                    self._release(self._accepted.first(count))

    def _of(self, web_processes: set[str]) -> list[str]:
        """Return the ids of the requests of these web processes."""
        return [
            each.request_id for each in self._accepted if each.reply_to in web_processes
        ]

    async def _send_reports(self) -> None:
        """Report regularly."""
        while True:
            self._set()
            await asyncio.sleep(_REPORT_EVERY_S)

    def _set(self, **changes: Any) -> None:
        """Change and report the state."""
        stats = self._runner.stats
        telemetry = self._runner.telemetry.snapshot()
        self._status = replace(
            self._status,
            running=stats.num_running,
            waiting=stats.num_waiting,
            waiting_by_key=tuple(self._accepted.pending_by_key()),
            n_ctx=stats.n_ctx,
            n_ctx_seen=int(telemetry["gauges"]["longest_sequence"]),
            kv_cells_used=stats.kv_cells_used,
            kv_cells_total=stats.kv_cells_total,
            requests_total=stats.requests_total,
            prompt_tokens_total=stats.prompt_tokens_total,
            output_tokens_total=stats.output_tokens_total,
            telemetry=telemetry,
            **changes,
        )
        self._report(self._status)


def _core_of(config: EngineConfig, backend: Any) -> Core:
    """Return the core that runs requests on a loaded model."""
    if not config.is_generative:
        return EmbeddingCore(backend)
    disk = open_disk_cache(config, can_cut=backend.can_cut)
    return EngineCore(backend, disk=disk)
