"""One model's process: the channel layers on one side, the engine thread on the other.

``python -m inference.worker.worker`` reads its specification from standard input and
reports on standard output. It exits when told to, or when standard input ends:
then the engine that started it is gone, and another will take its place.
"""

from __future__ import annotations

import asyncio
import logging.config
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from channels.layers import channel_layers
from redis.exceptions import RedisError

from inference.engine.core import EngineCore
from inference.engine.cpu_threads import unbound
from inference.engine.embedding.core import EmbeddingCore
from inference.engine.errors import EngineError
from inference.engine.prefix_cache.disk_cache import open_disk_cache
from inference.engine.runner import Add, Cancel, EngineRunner
from inference.errors import QueueFull, queue_full_message
from inference.transport import queue as request_queue
from inference.transport.frame_sender import Outbox
from inference.transport.messages import (
    Abort,
    Accepted,
    Detokenize,
    Embed,
    Event,
    Failed,
    Generate,
    Hungry,
    Present,
    ProtocolError,
    Released,
    Renew,
    Resend,
    Started,
    Tokenize,
    from_wire,
    to_wire,
)
from inference.worker.conversion import engine_request, events_of
from inference.worker.pending import Backlog
from inference.worker.pipe import (
    DRAIN,
    WorkerReport,
    WorkerSpec,
    report_to_line,
    spec_from_line,
)
from inference.worker.tokens import tokenizing_events
from inference.worker.work_stealing import Peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.backend import Backend
    from inference.engine.config import EngineConfig
    from inference.engine.embedding.requests import (
        EmbeddingBackend,
        EmbeddingOutput,
        EmbeddingRequest,
    )
    from inference.engine.output import SequenceOutput
    from inference.engine.request import GenerationRequest
    from inference.engine.runner import Core
    from inference.transport.messages import Request as Asked
    from inference.worker.pending import Held

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_REPORT_EVERY_S = 1.0
#: Wait before asking Redis again after it failed.
_RETRY_S = 0.5
#: A worker without room lets others have what is queued for this long.
_YIELD_S = 0.05
#: An answer to being hungry takes about this long.
_ASK_EVERY_S = 0.05


class Worker:
    """Takes requests off the queue and sends what the engine makes of them.

    It takes them whether or not they can start: waiting, too, is the engine's, for
    it is fair between keys, and the queue is not. Among workers of one model this
    is evened out: who has no room comes last to the queue, and gives waiting
    requests back when another has.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        queue: Any,
        replies: Any,
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend | EmbeddingBackend],
    ) -> None:
        self._spec = spec
        self._queue = queue
        self._replies = replies
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._status = WorkerReport(state="loading")
        self._backend: Backend | EmbeddingBackend | None = None
        self._n_seq_max = 0
        self._control = ""
        self._backlog = Backlog()
        self._is_taking = False
        self._has_room = asyncio.Event()
        self._peers = Peers()
        self._is_hungry = asyncio.Event()
        self._outgoing = asyncio.Event()
        self._finished = asyncio.Event()
        self._is_open = asyncio.Event()
        self._outbox: Outbox | None = None
        self._runner = EngineRunner(
            partial(load, self._in_loop(self._progressed)),
            on_ready=self._in_loop(self._loaded),
            on_outputs=self._in_loop(self._stepped),
            on_failed=self._in_loop(self._failed),
            make_core=partial(_core_of, spec.engine),
        )

    async def run(self) -> int:
        """Serve until drained; return the process's exit code."""
        self._control = await self._replies.new_channel("control.")
        await self._replies.group_add(self._spec.queue, self._control)
        self._outbox = Outbox(self._spec.incarnation, self._control)
        self._runner.start()
        sender = asyncio.create_task(self._send())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(job)
            for job in (
                self._pull(),
                self._introduce(),
                self._ask(),
                self._listen(),
                self._beat(),
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
            # What the last step gave is on its way yet.
            self._outgoing.set()
            await sender
        finally:
            self._runner.stop(0)
            for task in [*tasks, sender]:
                task.cancel()
            await asyncio.gather(*tasks, sender, return_exceptions=True)
        return 1 if self._status.state == "failed" else 0

    def drain(self) -> None:
        """Finish once those requests that run are done; the others are handed back."""
        if self._status.state in ("loading", "ready"):
            self._set(state="draining")
            self._is_open.clear()
            self._release(self._backlog.first(self._backlog.num_waiting))
        self._update_room()

    def _in_loop(self, method: Callable[[_T], None]) -> Callable[[_T], None]:
        """Return a function for the engine thread that calls a method in the loop."""

        def call(argument: _T) -> None:
            # Nobody listens any more once the loop is closed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(method, argument)

        return call

    # Called by the engine thread, in the loop ---------------------------------

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
        self._is_open.set()
        self._update_room()

    def _failed(self, error: BaseException) -> None:
        message = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        self._set(state="failed", error=message)
        self._finished.set()

    def _stepped(self, outputs: list[SequenceOutput | EmbeddingOutput]) -> None:
        for output in outputs:
            held = self._backlog.get(output.request_id)
            if held is None:
                continue
            if output.is_start:
                self._begin(held, output)
                continue
            for event in events_of(output):
                self._put(held.reply_to, event)
            if output.finish_reason is not None:
                self._backlog.remove(output.request_id)
        self._update_room()

    def _begin(self, held: Held, output: SequenceOutput | EmbeddingOutput) -> None:
        # A sequence that was preempted starts a second time.
        if not held.is_started:
            self._backlog.start(held)
            self._put(held.reply_to, Started(held.request_id, output.num_cached))

    # Requests -----------------------------------------------------------------

    async def _pull(self) -> None:
        """Take requests off the queue."""
        while True:
            await self._is_open.wait()
            try:
                await self._let_others_choose()
                while self._is_open.is_set() and await self._may_take():
                    await self._accept(
                        from_wire(await self._queue.receive(self._spec.queue))
                    )
            except ProtocolError:
                logger.exception("A request of another version is dropped")
            except (OSError, RedisError):
                await asyncio.sleep(_RETRY_S)

    async def _let_others_choose(self) -> None:
        """Leave what is queued to workers with room for a while, if there are any."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._peers.is_alone else _YIELD_S):
                await self._has_room.wait()

    async def _may_take(self) -> bool:
        """Whether to take a request, and to wait for it if none is there."""
        if self._peers.is_alone or self._has_room.is_set():
            return True
        return await request_queue.depth(self._queue, self._spec.queue) > 0

    async def _accept(self, asked: Asked) -> None:
        # The queue delivers at least once, so a request may come twice.
        if self._backlog.get(asked.request_id) or time.time() > asked.deadline:
            return
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        self._outbox.renew(asked.reply_to)
        self._is_taking = True
        try:
            await self._take(asked)
        except EngineError as error:
            event = Failed(asked.request_id, error.code, error.message, error.param)
            self._put(asked.reply_to, event)
        self._is_taking = False
        self._update_room()

    async def _take(self, asked: Asked) -> None:
        """Answer a request, or hand it to the engine. Raises EngineError."""
        backend = self._backend
        assert backend is not None  # noqa: S101 - _pull waits for it
        if isinstance(asked, Tokenize | Detokenize):
            for event in await tokenizing_events(asked, backend.tokenizer):
                self._put(asked.reply_to, event)
            return
        task = self._spec.engine.task
        self._hold(asked, await engine_request(asked, backend, task=task))

    def _hold(
        self, asked: Generate | Embed, request: GenerationRequest | EmbeddingRequest
    ) -> None:
        """Hand a request to the engine, unless it is one too many."""
        if self._status.state != "ready":
            # This worker began to drain meanwhile.
            self._put(asked.reply_to, Released(asked.request_id))
            return
        held = self._backlog.add(asked)
        position = self._backlog.position(held)
        if self._is_full() and self._refuse_last() is held:
            return
        accepted = Accepted(asked.request_id, request.num_prompt, position)
        self._put(asked.reply_to, accepted)
        self._runner.send(Add(request))

    def _is_full(self) -> bool:
        return len(self._backlog) > self._n_seq_max + self._spec.max_waiting

    def _refuse_last(self) -> Held:
        """Refuse the end of the line; return who that was."""
        last = self._backlog.last()
        self._cancel([last.request_id])
        message = queue_full_message(self._spec.model_name, self._backlog.num_waiting)
        self._put(last.reply_to, Failed(last.request_id, QueueFull.code, message))
        return last

    def _cancel(self, request_ids: Iterable[str]) -> None:
        alive = [
            request_id
            for request_id in request_ids
            if self._backlog.remove(request_id) is not None
        ]
        if alive:
            self._runner.send(Cancel(tuple(alive)))
            self._update_room()

    def _update_room(self) -> None:
        room = self._room()
        if room > 0:
            self._has_room.set()
        else:
            self._has_room.clear()
        if room > 0 and not self._backlog.num_waiting and self._peers.richest:
            self._is_hungry.set()
        is_empty = not self._backlog and not self._is_taking
        if self._status.state == "draining" and is_empty:
            self._finished.set()

    def _room(self) -> int:
        """Return how many more requests could start at once."""
        if self._status.state != "ready":
            return 0
        return self._n_seq_max - len(self._backlog)

    # Other workers of the model -----------------------------------------------

    async def _ask(self) -> None:
        """While there is room here, ask the worker with a surplus for some of it."""
        while True:
            await self._is_hungry.wait()
            self._is_hungry.clear()
            room, richest = self._room(), self._peers.richest
            if room > 0 and not self._backlog.num_waiting and richest:
                with suppress(OSError, RedisError):
                    await self._replies.send(richest, to_wire(Hungry(room)))
                await asyncio.sleep(_ASK_EVERY_S)
                self._update_room()

    async def _introduce(self) -> None:
        """Tell the other workers regularly that this one serves.

        Not in ``_beat``: a Redis that hangs must not make the worker look hung.
        """
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            if self._status.state == "ready":
                wire = to_wire(Present(self._control, self._surplus()))
                with suppress(OSError, RedisError):
                    await self._replies.group_send(self._spec.queue, wire)

    def _surplus(self) -> int:
        """Return how many requests wait that cannot start here yet.

        What there is no slot for is known at once, what the engine holds back for
        another reason after its next step.
        """
        held_back = min(self._runner.stats.num_waiting, self._backlog.num_waiting)
        return max(len(self._backlog) - self._n_seq_max, held_back)

    def _release(self, held: list[Held]) -> None:
        """Hand waiting requests back: their web processes queue them again."""
        self._cancel([each.request_id for each in held])
        for each in held:
            self._put(each.reply_to, Released(each.request_id))

    # Replies ------------------------------------------------------------------

    def _put(self, reply_to: str, event: Event) -> None:
        if self._outbox is not None:
            self._outbox.put(reply_to, event)
            self._outgoing.set()

    async def _send(self) -> None:
        """Send frames as events come; what comes meanwhile shares the next frame."""
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        while not self._finished.is_set() or self._outgoing.is_set():
            await self._outgoing.wait()
            self._outgoing.clear()
            for reply_to, frame in self._outbox.take():
                await self._publish(reply_to, to_wire(frame))

    async def _publish(self, reply_to: str, wire: dict[str, Any]) -> None:
        try:
            await self._replies.send(reply_to, wire)
        except (OSError, RedisError):
            # The frame is kept; the web process sees the gap and asks again.
            logger.warning("Redis is away; frames will be sent again")
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        """Obey the web processes' commands, and hear other workers of the model."""
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        while True:
            try:
                command = from_wire(await self._replies.receive(self._control))
            except ProtocolError:
                logger.exception("A command of another version is dropped")
                continue
            match command:
                case Abort():
                    self._cancel(command.request_ids)
                case Renew():
                    self._outbox.renew(command.reply_to)
                    head = self._outbox.head(command.reply_to)
                    await self._publish(command.reply_to, to_wire(head))
                case Resend():
                    for frame in self._outbox.again(command.reply_to, command.seq):
                        await self._publish(command.reply_to, to_wire(frame))
                case Present() if command.control != self._control:
                    self._peers.hear(command.control, command.surplus)
                    self._update_room()
                case Hungry():
                    count = min(command.room, self._surplus())
                    self._release(self._backlog.first(count))

    async def _beat(self) -> None:
        """Report regularly, and stop what nobody waits for any more."""
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        while True:
            gone = set(self._outbox.expired())
            if gone:
                self._cancel(
                    [held.request_id for held in self._backlog if held.reply_to in gone]
                )
            self._set()
            await asyncio.sleep(_REPORT_EVERY_S)

    def _set(self, **changes: Any) -> None:
        stats = self._runner.stats
        telemetry = self._runner.telemetry.snapshot()
        self._status = replace(
            self._status,
            running=stats.num_running,
            waiting=stats.num_waiting,
            waiting_by_key=tuple(self._backlog.by_key()),
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
    """Return what runs requests on a loaded model."""
    if not config.is_generative:
        return EmbeddingCore(backend)
    disk = open_disk_cache(config, can_cut=backend.can_cut)
    return EngineCore(backend, disk=disk)


async def _serve(spec: WorkerSpec, stdin: asyncio.StreamReader) -> int:
    with unbound():
        from inference.engine.llama import LlamaBackend, LlamaEmbedder

    engine = spec.engine
    make = LlamaBackend if engine.is_generative else LlamaEmbedder

    def report(status: WorkerReport) -> None:
        sys.stdout.write(report_to_line(status))
        sys.stdout.flush()

    worker = Worker(
        spec,
        queue=channel_layers["queue"],
        replies=channel_layers["default"],
        report=report,
        load=lambda progress: make(engine, on_progress=progress),
    )
    serving = asyncio.create_task(worker.run())
    commands = asyncio.create_task(_obey(worker, stdin))
    await asyncio.wait([serving, commands], return_when=asyncio.FIRST_COMPLETED)
    commands.cancel()
    return serving.result() if serving.done() else 0


async def _obey(worker: Worker, stdin: asyncio.StreamReader) -> None:
    """Follow the engine's commands until standard input ends."""
    async for line in stdin:
        if line.strip() == DRAIN.encode():
            worker.drain()


async def _main() -> int:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    line = await stdin.readline()
    if not line:
        return 0
    return await _serve(spec_from_line(line.decode()), stdin)


def main() -> None:
    """Run a worker process."""
    from django.conf import settings

    # A terminal's Ctrl-C reaches every process; only the engine decides here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.config.dictConfig(settings.LOGGING)
    code = asyncio.run(_main())
    sys.stdout.flush()
    # The engine thread may be deep in a load; the process owns nothing that
    # outlives it, so leaving at once is safe.
    os._exit(code)


if __name__ == "__main__":
    main()
