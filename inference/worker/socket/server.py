"""Connects a model server to the one process that has started it, over a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from inference.transport.messages.commands import Abort
from inference.transport.messages.events import Frame
from inference.transport.messages.requests import QueuedRequest
from inference.worker.model_server import ModelServer
from inference.worker.socket.frames import packed, read_message

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from inference.engine.backend import Backend
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.transport.messages.events import Event
    from inference.worker.node_pipe import Drain, WorkerReport, WorkerSpec


class SocketServer:
    """Takes requests from a socket and sends the events of each step as a frame."""

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        connection: socket.socket,
        report: Callable[[WorkerReport], None],
        load: Callable[[Callable[[float], None]], Backend | EmbeddingBackend],
    ) -> None:
        self._connection = connection
        self._incarnation = spec.incarnation
        self._seq = 0
        self._events: list[Event] = []
        self._writer: asyncio.StreamWriter | None = None
        self._loop = asyncio.get_running_loop()
        self._model = ModelServer(spec, reply=self._reply, report=report, load=load)

    async def run(self) -> int:
        """Serve until drained or until the socket ends; return the exit code."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._connection)
        model = self._model
        model.start()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._listen(reader),
                model.send_reports(),
                model.finished.wait(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            model.note_failures(done)
            self._flush()
            model.send_report()
        finally:
            model.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.close()
        return model.exit_code

    def drain(self, command: Drain | None = None) -> None:
        """Take no more requests, and finish when none is left."""
        self._model.drain(command)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Handle requests and commands until the socket ends."""
        while (message := await read_message(reader)) is not None:
            match message:
                case QueuedRequest(request, reply_to, _):
                    self._model.accept(request, reply_to)
                case Abort(request_ids):
                    self._model.cancel(request_ids)

    def _reply(self, _: str, event: Event) -> None:
        if not self._events:
            # The events of one step come together.
            self._loop.call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        if not self._events or self._writer is None:
            return
        self._seq += 1
        frame = Frame(self._incarnation, "", 1, self._seq, tuple(self._events))
        self._events = []
        self._writer.write(packed(frame))
