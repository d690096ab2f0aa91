"""One model's process: the channel layers on one side, the engine thread on the other.

``python -m inference.worker`` reads its specification from standard input and
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

from channels.exceptions import ChannelFull
from channels.layers import channel_layers
from redis.exceptions import RedisError

from inference.engine.core import check_request
from inference.engine.errors import EngineError
from inference.engine.runner import Add, Cancel, EngineRunner
from inference.engine.sequence import FinishReason
from inference.outbox import Outbox
from inference.protocol import (
    Abort,
    Accepted,
    Event,
    Failed,
    Finished,
    Generate,
    ProtocolError,
    Renew,
    Resend,
    TokensGenerated,
    Usage,
    from_wire,
    to_wire,
)
from inference.worker_messages import (
    DRAIN,
    WorkerReport,
    WorkerSpec,
    report_to_line,
    spec_from_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend
    from inference.engine.output import SequenceOutput

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Prompts over this many characters are tokenized off the I/O loop.
_LONG_PROMPT = 20_000
_REPORT_EVERY_S = 1.0
#: Wait before asking Redis again after it failed.
_RETRY_S = 0.5


class Worker:
    """Pulls requests while it has room and sends what the engine makes of them."""

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        queue: Any,
        replies: Any,
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend],
    ) -> None:
        self._spec = spec
        self._queue = queue
        self._replies = replies
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._status = WorkerReport(state="loading")
        self._backend: Backend | None = None
        #: The requests that this worker has taken, and whom they are for.
        self._running: dict[str, str] = {}
        self._room = asyncio.Event()
        self._outgoing = asyncio.Event()
        self._finished = asyncio.Event()
        self._ready = asyncio.Event()
        self._outbox: Outbox | None = None
        self._runner = EngineRunner(
            partial(load, self._in_loop(self._progressed)),
            on_ready=self._in_loop(self._loaded),
            on_outputs=self._in_loop(self._stepped),
            on_failed=self._in_loop(self._failed),
        )

    async def run(self) -> int:
        """Serve until drained; return the process's exit code."""
        control = await self._replies.new_channel("control.")
        self._outbox = Outbox(self._spec.incarnation, control)
        self._runner.start()
        sender = asyncio.create_task(self._send())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(job)
            for job in (
                self._pull(),
                self._listen(control),
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
        """Take no more requests; finish once those that run are done."""
        if self._status.state == "ready":
            self._set(state="draining")
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

    def _loaded(self, backend: Backend) -> None:
        self._backend = backend
        if self._status.state == "loading":
            self._set(
                state="ready",
                progress=1.0,
                n_ctx=backend.n_ctx,
                n_seq_max=backend.n_seq_max,
                kv_cells_total=backend.n_ctx * backend.n_seq_max,
            )
        self._ready.set()
        self._update_room()

    def _failed(self, error: BaseException) -> None:
        message = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        self._set(state="failed", error=message)
        self._finished.set()

    def _stepped(self, outputs: list[SequenceOutput]) -> None:
        for output in outputs:
            reply_to = self._running.get(output.request_id)
            if reply_to is None:
                continue
            self._put(reply_to, _event(output))
            if output.finish_reason is not None:
                del self._running[output.request_id]
        self._update_room()

    # Requests -----------------------------------------------------------------

    async def _pull(self) -> None:
        """Take requests from the queue, no more than there are slots for."""
        await self._ready.wait()
        while True:
            await self._room.wait()
            try:
                wire = await self._queue.receive(self._spec.queue)
                request = from_wire(wire)
            except ProtocolError:
                logger.exception("A request of another version is dropped")
                continue
            except (OSError, RedisError):
                await asyncio.sleep(_RETRY_S)
                continue
            if self._status.state != "ready":
                await self._put_back(wire)
            else:
                await self._accept(request)

    async def _put_back(self, wire: dict[str, Any]) -> None:
        """Leave a request to the next worker: this one began to drain meanwhile."""
        try:
            await self._queue.send(self._spec.queue, wire)
        except (ChannelFull, OSError, RedisError):
            # Its web process sees that nobody took it and queues it again.
            logger.warning("A request could not be put back into the queue")

    async def _accept(self, request: Generate) -> None:
        # The queue delivers at least once, so a request may come twice.
        if request.request_id in self._running or time.time() > request.deadline:
            return
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        self._outbox.renew(request.reply_to)
        try:
            prompt = await self._tokenize(request)
        except EngineError as error:
            event = Failed(request.request_id, error.code, error.message, error.param)
            self._put(request.reply_to, event)
            return
        self._running[request.request_id] = request.reply_to
        self._put(request.reply_to, Accepted(request.request_id, len(prompt)))
        self._runner.send(
            Add(request.request_id, prompt, request.params, request.resume)
        )
        self._update_room()

    async def _tokenize(self, request: Generate) -> list[int]:
        assert self._backend is not None  # noqa: S101 - _pull waits for _ready
        tokenizer = self._backend.tokenizer
        if isinstance(request.prompt, list):
            prompt = request.prompt
        elif len(request.prompt) > _LONG_PROMPT:
            prompt = await asyncio.to_thread(
                tokenizer.tokenize, request.prompt, special=request.special
            )
        else:
            prompt = tokenizer.tokenize(request.prompt, special=request.special)
        check_request(
            prompt=prompt,
            params=request.params,
            n_ctx=self._backend.n_ctx,
            n_vocab=tokenizer.n_vocab,
        )
        return prompt

    def _cancel(self, request_ids: list[str]) -> None:
        alive = [
            request_id
            for request_id in request_ids
            if self._running.pop(request_id, None) is not None
        ]
        if alive:
            self._runner.send(Cancel(tuple(alive)))
            self._update_room()

    def _update_room(self) -> None:
        has_room = (
            self._backend is not None
            and self._status.state == "ready"
            and len(self._running) < self._backend.n_seq_max
        )
        if has_room:
            self._room.set()
        else:
            self._room.clear()
        if self._status.state == "draining" and not self._running:
            self._finished.set()

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

    async def _listen(self, control: str) -> None:
        """Obey the web processes' commands."""
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        while True:
            try:
                command = from_wire(await self._replies.receive(control))
            except ProtocolError:
                logger.exception("A command of another version is dropped")
                continue
            match command:
                case Abort():
                    self._cancel(list(command.request_ids))
                case Renew():
                    self._outbox.renew(command.reply_to)
                    head = self._outbox.head(command.reply_to)
                    await self._publish(command.reply_to, to_wire(head))
                case Resend():
                    for frame in self._outbox.again(command.reply_to, command.seq):
                        await self._publish(command.reply_to, to_wire(frame))

    async def _beat(self) -> None:
        """Report regularly, and stop what nobody waits for any more."""
        assert self._outbox is not None  # noqa: S101 - run() sets it first
        while True:
            gone = set(self._outbox.expired())
            if gone:
                self._cancel(
                    [r for r, reply_to in self._running.items() if reply_to in gone]
                )
            self._set()
            await asyncio.sleep(_REPORT_EVERY_S)

    def _set(self, **changes: Any) -> None:
        stats = self._runner.stats
        self._status = replace(
            self._status,
            running=stats.num_running,
            waiting=stats.num_waiting,
            kv_cells_used=stats.kv_cells_used,
            requests_total=stats.requests_total,
            prompt_tokens_total=stats.prompt_tokens_total,
            output_tokens_total=stats.output_tokens_total,
            **changes,
        )
        self._report(self._status)


def _event(output: SequenceOutput) -> Event:
    """Return what the web process is told of an output."""
    reason = output.finish_reason
    if reason is None:
        return TokensGenerated(output.request_id, output.tokens, output.text)
    if reason is FinishReason.FAILED:
        return Failed(output.request_id, "decode_failed", output.error)
    usage = Usage(output.num_prompt, output.num_output)
    return Finished(output.request_id, str(reason), output.text, usage)


async def _serve(spec: WorkerSpec, stdin: asyncio.StreamReader) -> int:
    from inference.engine.llama import LlamaBackend

    def report(status: WorkerReport) -> None:
        sys.stdout.write(report_to_line(status))
        sys.stdout.flush()

    worker = Worker(
        spec,
        queue=channel_layers["queue"],
        replies=channel_layers["default"],
        report=report,
        load=lambda progress: LlamaBackend(spec.engine, on_progress=progress),
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
