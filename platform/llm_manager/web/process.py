"""One web process: Daphne, with bounded bodies and a stop that cuts no answer."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

# First: importing it installs Twisted's asyncio reactor.
from daphne.server import Server, twisted_loop  # isort: skip
from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.internet import defer, reactor, tcp

from llm_manager.launcher.listening import listen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_manager.web.asgi_types import Application, Receive, Scope, Send

_POLL_S = 0.05
_MAX_DESCRIPTORS = 65_536
#: Added to the engine's drain time, so that the last tokens reach their clients.
_DRAIN_MARGIN_S = 5
#: There is no protocol to upgrade to, and no client may say where the routes begin.
_IGNORED_HEADERS = (b"upgrade", b"daphne-root-path")


def _error_body(message: str, *, kind: str, code: str) -> bytes:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


_STOPPING_BODY = _error_body(
    "The server is stopping.", kind="server_error", code="server_stopping"
)


class BoundedRequest(WebRequest):  # type: ignore[misc]  # Daphne has no types
    """A request of whose body no more is kept than the limit and one byte.

    Daphne keeps a whole body before anyone looks at it. The one byte more shows the
    reader of the body that it is too long.
    """

    def __init__(self, *args: Any) -> None:
        # Django parses forms; Twisted need not.
        super().__init__(*args, parsePOSTFormSubmission=False)

    def process(self) -> Any:
        """Remove the ignored headers and hand the request on."""
        for name in _IGNORED_HEADERS:
            self.requestHeaders.removeHeader(name)
        return super().process()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer in JSON what goes wrong outside of any view; Daphne sends HTML."""
        kind, code = (
            ("invalid_request_error", "bad_request")
            if status < 500
            else ("server_error", "internal_error")
        )
        headers = [(b"content-type", b"application/json")]
        content = _error_body(f"{body}.", kind=kind, code=code)
        start = {"type": "http.response.start", "status": status, "headers": headers}
        self.handle_reply(start)
        self.handle_reply({"type": "http.response.body", "body": content})

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Keep what fits and drop the rest."""
        room = self.server.max_body_bytes + 1 - self.content.tell()
        self.content.write(data[: max(room, 0)])


class PromptConnection(tcp.Server):
    """A connection that sends at once what its socket takes.

    Twisted keeps what is written until the event loop has asked the socket whether it
    takes anything: two system calls and a turn of the loop for each event of each
    stream. Here only what the socket does not take waits like that.
    """

    _has_unsent = False

    def write(self, data: bytes) -> None:
        """Send what the socket takes now; Twisted sends the rest."""
        if data and self.connected and not self._has_unsent:
            sent = self.writeSomeData(data)
            # An exception says that the connection is lost. Twisted's next attempt
            # will find that too, and closes the connection properly.
            if isinstance(sent, int):
                data = data[sent:]
        if data:
            self._has_unsent = True
            super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:  # noqa: N802  # Twisted's name
        """Send pieces as one."""
        self.write(b"".join(iovec))

    def stopWriting(self) -> None:  # noqa: N802  # Twisted's name
        """Note that nothing is left to send: Twisted calls this then."""
        self._has_unsent = False
        super().stopWriting()  # type: ignore[no-untyped-call]


class BoundedFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Makes protocols whose requests are bounded."""

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        """Return the protocol of a new connection."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol


class WebServer(Server):  # type: ignore[misc]  # Daphne has no types
    """Daphne on a given listening socket.

    The first SIGTERM or SIGINT closes the socket, and the process ends when all
    running answers have ended. The second one cuts them.
    """

    def __init__(
        self,
        application: Application,
        sock: socket.socket,
        *,
        drain_timeout_s: float,
        max_body_bytes: int,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._application = application
        self._socket = sock
        self._drain_timeout_s = drain_timeout_s
        self._deadline: float | None = None
        self._port: Any = None
        super().__init__(
            application=self._answer,
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
            self._socket.fileno(), self._socket.family, BoundedFactory(self)
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

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; while draining, refuse what an open connection brings."""
        if self._deadline is None:
            await self._application(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"retry-after", b"1"),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": _STOPPING_BODY})


def _is_done(details: dict[str, Any]) -> bool:
    task = details.get("application_instance")
    return task is None or task.done()


def _allow_many_connections() -> None:
    """Raise this process' limit on descriptors, within what the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # RLIM_INFINITY is negative.
    reachable = _MAX_DESCRIPTORS if hard < 0 else min(_MAX_DESCRIPTORS, hard)
    if 0 <= soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))


def run(*, fd: int | None, host: str, port: int) -> None:
    """Serve the project on an inherited socket, or on an address of its own."""
    from llm_manager.web.asgi import application

    sock = listen(host, port) if fd is None else socket.socket(fileno=fd)
    _allow_many_connections()
    config = settings.CONFIG
    WebServer(
        application,
        sock,
        drain_timeout_s=config.engine.drain_timeout + _DRAIN_MARGIN_S,
        max_body_bytes=config.limits.max_body_mb * 1024 * 1024,
    ).run()
