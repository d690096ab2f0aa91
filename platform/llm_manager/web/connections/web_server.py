"""Daphne on a given socket: bodies as they are read, and a stop that cuts no answer."""

from __future__ import annotations

import asyncio
import functools
import signal
import time
from typing import TYPE_CHECKING, Any

# First: importing it installs Twisted's asyncio reactor.
from daphne.server import twisted_loop  # isort: skip
from twisted.internet import defer, reactor

from inference.api.error_shapes.failure import Failure
from llm_manager.lib.processes.sign_of_life import show_life
from llm_manager.web.connections.channel import StrictFactory
from llm_manager.web.connections.errors import refusal
from llm_manager.web.connections.idle_connections import most_connections
from llm_manager.web.connections.prompt_connection import PromptConnection
from llm_manager.web.connections.resting_server import RestingServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send
    from llm_manager.web.connections.body_stream import BodyStream
    from llm_manager.web.connections.streamed_request import StreamedRequest

_POLL_S = 0.05
#: A client that takes nothing of its answer for so long is gone. What a stream makes
#: in this time is kept for it.
STALL_TIMEOUT_S = 20.0
_STOPPING = Failure(503, "server_error", "server_stopping", "The server is stopping.")


class WebServer(RestingServer):
    """Daphne on a given listening socket.

    The first SIGTERM or SIGINT closes the socket, and the process ends when all
    running answers have ended. The second one cuts them. What was on its way by then is
    answered: the first request of a connection that was accepted. A client has
    ``receive_timeout_s`` to send a request, headers and body; one that takes nothing of
    its answer for ``stall_timeout_s`` is cut off. Beyond ``max_connections``, which
    are a share of the process's descriptors, idle connections are cut. ``beside`` runs
    while it serves.
    """

    def __init__(
        self,
        application: Application,
        sock: socket.socket,
        *,
        drain_timeout_s: float,
        receive_timeout_s: float,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        max_connections: int | None = None,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._receive_timeout_s = receive_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._max_connections = max_connections or most_connections()
        self._application = application
        self._beside = beside
        self._socket = sock
        self._drain_timeout_s = drain_timeout_s
        self._deadline: float | None = None
        self._port: Any = None
        super().__init__(
            application=application,
            endpoints=["the socket"],
            signal_handlers=False,
        )
        # Daphne's own endpoint for a descriptor knows only IPv4.
        self.endpoints: list[str] = []

    def run(self) -> None:
        """Serve until a signal comes."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            twisted_loop.add_signal_handler(signum, self.drain)
        reactor.callWhenRunning(self._adopt)
        self._life = twisted_loop.create_task(show_life())
        if self._beside is not None:
            self._work = twisted_loop.create_task(self._beside())
        super().run()

    def drain(self) -> None:
        """Accept nothing more and end after the last answer; called again, end now."""
        if self._deadline is not None:
            self.stop()
            return
        self._deadline = time.monotonic() + self._drain_timeout_s
        if self._port is not None:
            self._port.stopListening()
        self._end_when_idle()

    def create_application(
        self, protocol: StreamedRequest, scope: Scope
    ) -> BodyStream | None:
        """Start the application on a request; return what it receives."""
        body = protocol.body
        if protocol not in self.connections or body is None:
            return None
        scope.setdefault("asgi", {"version": "3.0"})
        send = functools.partial(self.handle_reply, protocol)
        is_late = self._deadline is not None and not protocol.is_first
        answer = self._refuse if is_late else self._application
        self.connections[protocol]["application_instance"] = twisted_loop.create_task(
            answer(scope, body.receive, send)
        )
        return body

    async def handle_reply(self, protocol: StreamedRequest, message: Message) -> None:
        """Send a part of an answer, and wait for a client that reads slowly."""
        await super().handle_reply(protocol, message)
        if message.get("more_body"):
            await protocol.drained(self._stall_timeout_s)

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Cancel what still runs. Daphne's own version fails on an idle connection."""
        running = [
            details["application_instance"]
            for details in self.connections.values()
            if not _is_done(details)
        ]
        for task in running:
            task.cancel()
        return defer.Deferred.fromFuture(
            asyncio.gather(*running, return_exceptions=True)
        )

    def _adopt(self) -> None:
        self._socket.setblocking(False)  # noqa: FBT003
        self._port = reactor.adoptStreamPort(
            self._socket.fileno(),
            self._socket.family,
            StrictFactory(
                self,
                receive_timeout_s=self._receive_timeout_s,
                max_connections=self._max_connections,
            ),
        )
        self._port.transport = PromptConnection
        self._socket.close()  # Twisted has made its own copy.

    def _end_when_idle(self) -> None:
        assert self._deadline is not None  # noqa: S101  # drain() has set it
        busy = any(
            "disconnected" not in details or not _is_done(details)
            for details in self.connections.values()
        )
        if not busy or time.monotonic() > self._deadline:
            self.stop()
        else:
            twisted_loop.call_later(_POLL_S, self._end_when_idle)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what an open connection brings elsewhere."""
        path = scope["path"].encode("utf-8", "replace")
        answer = refusal(_STOPPING, path, scope["headers"])
        headers = [
            (b"content-type", b"application/json"),
            (b"retry-after", b"1"),
            (b"content-length", str(len(answer.content)).encode("ascii")),
            (b"connection", b"close"),
        ]
        start = {"type": "http.response.start", "status": answer.status_code}
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})


def _is_done(details: dict[str, Any]) -> bool:
    task = details.get("application_instance")
    return task is None or task.done()
