"""Serves one loaded model: takes requests, and passes its engine's events on.

It knows no transport: ``inference.worker.queue`` connects it to Redis,
``inference.worker.socket`` to the process that has started it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from inference.engine.core import EngineCore
from inference.engine.embedding.core import EmbeddingCore
from inference.engine.prefix_cache.disk_cache import open_disk_cache
from inference.engine.request import GenerationRequest, PoolingRequest
from inference.engine.runner import Add, Cancel, EngineRunner
from inference.engine.sequence import Arrival
from inference.errors import QueueFull, queue_full_message
from inference.transport.messages.events import (
    Accepted,
    Detokenized,
    Refused,
    Released,
    Taken,
    Tokenized,
)
from inference.worker.node_pipe import Drain, WorkerReport, WorkerSpec
from inference.worker.pending import AcceptedRequests
from inference.worker.preparation import Preparation
from inference.worker.prepare_request import (
    has_media,
    holds_much,
    is_quick,
    prepare_request,
    too_slow,
)
from llm_manager.lib.clocks.whole_times import until_next

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.backend import Backend
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.output import (
        PoolingOutput,
        PrefillProgress,
        SequenceOutput,
    )
    from inference.engine.request import ComputeRequest, ModelRequest
    from inference.engine.runner import Core
    from inference.transport.messages.events import Event
    from inference.worker.pending import AcceptedRequest

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_REPORT_EVERY_S = 1.0
#: The same while there is no request. A node ends a worker that it has not heard for
#: 30 seconds.
_REPORT_AT_REST_EVERY_S = 8.0
#: How many waiting requests of one key may hold what their samplers need: a grammar and
#: a DRY sampler may take some 25 MB together. The next one is prepared when one starts.
_AHEAD = 4


class ModelServer:
    """Runs the requests that it is given, and passes the engine's outputs on as events.

    It takes requests whether or not they can start: pending ones wait in the engine,
    which is fair between keys. ``reply`` gets each event with the address of whom it is
    for; ``report`` gets the state; ``on_ready`` is called once the model is loaded,
    ``on_change`` whenever the load or the state has changed. ``finished`` is set when
    nothing is left to do: it is drained, or has failed.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        reply: Callable[[str, Event], None],
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend | EmbeddingBackend],
        on_change: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._spec = spec
        self._reply = reply
        self._report = report
        self._on_change = on_change
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._status = WorkerReport(state="loading")
        self._backend: Any = None
        self._n_seq_max = 0
        self._accepted = AcceptedRequests()
        self._preparation = Preparation(on_error=self.fail, on_idle=self._load_changed)
        #: Set whenever a request may have started or gone.
        self._moved = asyncio.Event()
        #: The same, for the reports.
        self._has_news = asyncio.Event()
        self.finished = asyncio.Event()
        self._runner = EngineRunner(
            partial(load, self._in_loop(self._progressed)),
            on_ready=self._in_loop(self._loaded),
            on_outputs=self._in_loop(self._stepped),
            on_failed=self._in_loop(self.fail),
            make_core=partial(_core_of, spec),
        )

    def start(self) -> None:
        """Load the model, in the engine's thread."""
        self._runner.start()

    def close(self) -> None:
        """End the engine's thread after its step, without waiting for it."""
        self._preparation.close()
        self._runner.stop(0)

    async def aclose(self, timeout_s: float) -> None:
        """End the engine's thread after its step; wait for it at most so long."""
        self._preparation.close()
        # Joining a thread stops whatever else runs in the loop.
        await asyncio.to_thread(self._runner.stop, timeout_s)

    @property
    def exit_code(self) -> int:
        """What a process that serves the model exits with."""
        return 1 if self._status.state == "failed" else 0

    def drain(self, command: Drain | None = None) -> None:
        """Take no more requests, and finish when none is left.

        A second command may end what the first one has left running.
        """
        command = command or Drain()
        if self._status.state in ("loading", "ready"):
            self._set(state="draining")
        pending = self._accepted.first(self._accepted.num_pending)
        leaving = list(self._accepted) if command.is_now else pending
        if command.code:
            self._end(leaving, command.code, command.message)
        else:
            self._release(leaving)
        self._load_changed()

    # Load -------------------------------------------------------------------------

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests."""
        return self._status.state == "ready"

    @property
    def room(self) -> int:
        """How many more requests could start at once."""
        return self._n_seq_max - len(self._accepted) if self.is_serving else 0

    @property
    def num_requests(self) -> int:
        """How many requests it has."""
        return len(self._accepted)

    @property
    def requests_by(self) -> dict[str, int]:
        """How many it has of which web process, by its channel for events."""
        return Counter(each.reply_to for each in self._accepted)

    @property
    def num_slots(self) -> int:
        """How many requests can run at once."""
        return self._n_seq_max

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
        self._on_change()
        self._moved.set()
        self._has_news.set()
        is_empty = not self._accepted and self._preparation.is_idle
        if self._status.state == "draining" and is_empty:
            self.finished.set()

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
            measured=self._runner.measured,
        )
        self._on_ready()
        self._load_changed()

    def fail(self, error: BaseException) -> None:
        """Finish because of an error; it is in the report."""
        message = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        self._set(state="failed", error=message)
        self.finished.set()

    def note_failures(self, ended: Iterable[asyncio.Task[Any]]) -> None:
        """Fail if one of these tasks, which have ended, has failed."""
        for error in [task.exception() for task in ended]:
            if error is not None:
                logger.error("The worker's I/O failed", exc_info=error)
                self.fail(error)

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
            self._reply(request.reply_to, output)
            if output.is_last:
                self._remove(output.request_id)
        self._load_changed()

    # Requests -----------------------------------------------------------------

    def accept(self, request: ModelRequest, reply_to: str) -> None:
        """Take a request, unless too many are pending, and prepare it.

        Its events go to ``reply_to``. One that is here already is ignored; one that
        comes when the model does not serve is released.
        """
        if self._accepted.get(request.request_id):
            return
        if not self.is_serving:
            self._reply(reply_to, Released(request.request_id))
            return
        accepted = self._accepted.add(request, reply_to)
        self._preparation.note(accepted.key)
        if self._is_full() and self._refuse_last() is accepted:
            return
        if is_quick(request) and not self._preparation.has(accepted.key):
            self._begin(accepted, self._prepared(request))
        else:
            # It may take longer than a web process waits for a word.
            self._reply(reply_to, Taken(request.request_id))
            job = partial(self._prepare, accepted, request)
            self._preparation.put(accepted.key, job)
        self._load_changed()

    async def _prepare(self, accepted: AcceptedRequest, request: ModelRequest) -> None:
        """Prepare a request, if it is still wanted when its turn comes."""
        if holds_much(request):
            await self._wait_for_turn(accepted)
        if not self._has(accepted):
            return
        if is_quick(request):
            self._begin(accepted, self._prepared(request))
        else:
            prepared = await self._preparation.in_thread(
                partial(self._prepared, request),
                key=accepted.key,
                on_overdue=partial(self._refuse, accepted, too_slow(request)),
                encodes=has_media(request),
            )
            is_ready = isinstance(prepared, GenerationRequest)
            accepted.holds_sampler = is_ready and holds_much(request)
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
            self._accepted.prepared(accepted)
            behind = self._preparation.num_waiting(accepted.key)
            self._runner.send(Add(prepared, Arrival(num_behind=behind)))
        spec = self._spec
        reply = partial(self._reply, accepted.reply_to)
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
            self._reply(accepted.reply_to, refused)

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
        self.cancel([last.request_id])
        message = queue_full_message(self._spec.model_name, self.num_pending)
        refused = Refused(last.request_id, QueueFull.code, message)
        self._reply(last.reply_to, refused)
        return last

    def line(self) -> list[str]:
        """Return the ids of the pending requests, as they will start."""
        return [each.request_id for each in self._accepted.first(self.num_pending)]

    def prefills(self) -> tuple[PrefillProgress, ...]:
        """Return how far the prompts are that are computed now."""
        return self._runner.stats.prefills

    def release_first(self, count: int) -> None:
        """Release the next pending requests: whoever sent them queues them again."""
        self._release(self._accepted.first(count))

    def _release(self, requests: list[AcceptedRequest]) -> None:
        self.cancel([each.request_id for each in requests])
        for each in requests:
            self._reply(each.reply_to, Released(each.request_id))

    def _end(self, requests: list[AcceptedRequest], code: str, message: str) -> None:
        """End requests with an error."""
        self.cancel([each.request_id for each in requests])
        for each in requests:
            self._reply(each.reply_to, Refused(each.request_id, code, message))

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Forget requests: nobody waits for them."""
        unfinished = [each for each in request_ids if self._remove(each)]
        if unfinished:
            self._runner.send(Cancel(tuple(unfinished)))
            self._load_changed()

    def requests_of(self, addresses: set[str]) -> list[str]:
        """Return the ids of the requests whose events go to these addresses."""
        return [
            each.request_id for each in self._accepted if each.reply_to in addresses
        ]

    # Reports ----------------------------------------------------------------------

    def send_report(self) -> None:
        """Report the state as it is now."""
        self._set()

    async def send_reports(self) -> None:
        """Report every second while there are requests, else seldom; forever."""
        while True:
            self._has_news.clear()
            self._set()
            await asyncio.sleep(_REPORT_EVERY_S)
            if not self._accepted:
                with suppress(TimeoutError):
                    async with asyncio.timeout(until_next(_REPORT_AT_REST_EVERY_S)):
                        await self._has_news.wait()

    def _set(self, **changes: Any) -> None:
        """Change and report the state."""
        stats = self._runner.stats
        telemetry = self._runner.telemetry.snapshot()
        self._status = replace(
            self._status,
            running=stats.num_running,
            waiting=stats.num_waiting,
            waiting_by_key=tuple(self._accepted.pending_by_key()),
            oldest_wait_s=self._accepted.oldest_wait_s(),
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


def _core_of(spec: WorkerSpec, backend: Any) -> Core:
    """Return the core that runs requests on a loaded model."""
    config = spec.engine
    if not config.is_generative:
        return EmbeddingCore(backend)
    disk = open_disk_cache(config, can_cut=backend.can_cut)
    return EngineCore(backend, disk=disk, measured=spec.measured)
