"""A loaded model: the server's worker, in a child process or in this one."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from inference.errors import ModelLoadFailed, ModelUnloaded, WorkerCrashed
from inference.local.client import WorkerClient
from inference.node.children.spawning import spawn_worker
from inference.node.children.worker_process import WorkerProcess
from inference.transport.messages.commands import Abort
from inference.transport.messages.events import Frame
from inference.transport.messages.requests import QueuedRequest
from inference.worker.model_server import ModelServer
from inference.worker.node_pipe import WorkerReport
from inference.worker.process import llama_loader
from inference.worker.socket.frames import packed, read_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.transport.messages.events import Event
    from inference.worker.node_pipe import WorkerSpec

logger = logging.getLogger(__name__)

#: How long a step may take before a worker in this process is left alone.
_LAST_STEP_S = 10.0


class LocalWorker(ABC):
    """One loaded model. All runs in one event loop."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.client = WorkerClient(self._send)
        self._changed = asyncio.Event()

    @abstractmethod
    async def start(self, on_progress: Callable[[float], None]) -> None:
        """Load the model; ``on_progress`` gets 0 to 1.

        Raises ModelLoadFailed, WorkerCrashed.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Unload it: memory is free afterwards. Idempotent."""

    @abstractmethod
    def _send(self, message: QueuedRequest | Abort) -> None:
        """Pass a message to the worker."""

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it is loaded and takes requests."""

    @property
    @abstractmethod
    def report(self) -> WorkerReport:
        """Its state and numbers."""

    def _unloaded(self) -> None:
        name = self.spec.model_name
        self.client.fail(ModelUnloaded(f"The model '{name}' was unloaded."))


class ProcessWorker(LocalWorker):
    """A worker in a child process: a crash of llama.cpp is an exception here."""

    def __init__(self, spec: WorkerSpec) -> None:
        super().__init__(spec)
        self._process: WorkerProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self, on_progress: Callable[[float], None]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            self._process = WorkerProcess(
                self.spec,
                on_change=self._changed.set,
                on_activity=self._changed.set,
                spawn=partial(
                    spawn_worker,
                    module="inference.worker.socket.main",
                    arguments=(str(theirs.fileno()), str(os.getpid())),
                    pass_fds=(theirs.fileno(),),
                    # A terminal's Ctrl-C is for the program.
                    process_group=0,
                ),
            )
            try:
                await self._process.start()
            except OSError as error:
                await self.aclose()
                raise ModelLoadFailed(
                    f"The worker process cannot be started: {error.strerror}."
                ) from None
        self._listening = asyncio.create_task(self._listen(reader))
        try:
            while self._process.is_running and self.report.state == "loading":
                on_progress(self.report.progress)
                self._changed.clear()
                await self._changed.wait()
        except BaseException:
            await self.aclose()
            raise
        if self.report.state != "ready" or not self._process.is_running:
            await self._process.close()
            death = self._death()
            await self.aclose()
            raise death

    @property
    def is_alive(self) -> bool:
        return (
            self._process is not None
            and self._process.is_running
            and self.report.state == "ready"
        )

    @property
    def report(self) -> WorkerReport:
        return self._process.report if self._process else WorkerReport("loading")

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid if self._process else 0

    async def aclose(self) -> None:
        self._unloaded()
        if self._listening is not None:
            self._listening.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await self._process.close()

    def _send(self, message: QueuedRequest | Abort) -> None:
        # A process that is gone ends its streams by itself.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packed(message))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Pass events on until the process ends, or until they cannot be read."""
        assert self._process is not None  # noqa: S101 - it has been started
        unread = ""
        try:
            while isinstance(frame := await read_message(reader), Frame):
                self.client.take(frame.events)
        except Exception as error:
            logger.exception("Events of %s cannot be read", self.spec.model_name)
            unread = f" Its events cannot be read: {error}"
            self._process.kill()
        # Its last words come with its end.
        await self._process.close()
        self.client.fail(self._death(unread))
        self._changed.set()

    def _death(self, unread: str = "") -> ModelLoadFailed | WorkerCrashed:
        assert self._process is not None  # noqa: S101 - it has been started
        reason = self._process.death()
        if self._process.ready_at is None and self.report.state == "failed":
            return ModelLoadFailed(reason)
        return WorkerCrashed(
            f"The model '{self.spec.model_name}' is gone.{unread} {reason}"
        )


class ThreadWorker(LocalWorker):
    """A worker in this process, for debuggers: a crash of llama.cpp ends it too."""

    def __init__(self, spec: WorkerSpec) -> None:
        super().__init__(spec)
        self._report = WorkerReport("loading")
        self._server: ModelServer | None = None

    async def start(self, on_progress: Callable[[float], None]) -> None:
        load = await asyncio.to_thread(llama_loader, self.spec.engine)
        self._server = ModelServer(
            self.spec, reply=self._reply, report=self._take_report, load=load
        )
        self._server.start()
        while self._report.state == "loading":
            on_progress(self._report.progress)
            self._changed.clear()
            await self._changed.wait()
        if self._report.state != "ready":
            await self.aclose()
            raise ModelLoadFailed(self._report.error)

    @property
    def is_alive(self) -> bool:
        return self._server is not None and self._report.state == "ready"

    @property
    def report(self) -> WorkerReport:
        return self._report

    async def aclose(self) -> None:
        self._unloaded()
        server, self._server = self._server, None
        if server is not None:
            await server.aclose(_LAST_STEP_S)

    def _send(self, message: QueuedRequest | Abort) -> None:
        if self._server is None:
            return
        match message:
            case QueuedRequest(request, reply_to, _):
                self._server.accept(request, reply_to)
            case Abort(request_ids):
                self._server.cancel(request_ids)

    def _reply(self, _: str, event: Event) -> None:
        self.client.take([event])

    def _take_report(self, report: WorkerReport) -> None:
        self._report = report
        self._changed.set()
        if report.state == "failed":
            self.client.fail(WorkerCrashed(report.error))
