"""A request whose answer begins with its headers: its body comes as it is read."""

from __future__ import annotations

import asyncio
import logging
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from daphne.http_protocol import WebRequest
from twisted.internet import reactor as _reactor

from inference.api.error_shapes.failure import Failure
from llm_manager.web.connections.body_stream import BodyStream
from llm_manager.web.connections.errors import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse

logger = logging.getLogger(__name__)
reactor: Any = _reactor

#: There is no protocol to upgrade to, and no client may say where the routes begin.
_IGNORED_HEADERS = (b"upgrade", b"daphne-root-path")
#: How long the rest of a body is read after its answer, so that the client reads the
#: answer before the connection is closed; as nginx's lingering_timeout.
_LINGER_S = 5.0


class StreamedRequest(WebRequest):  # type: ignore[misc]  # Daphne has no types
    """A request that is handed on when its headers are complete.

    Daphne keeps a whole body, in a file if it is large, before anyone looks at it: who
    has no key could fill the disk. Here the application decides by the headers whether
    it wants the body, and no more of it is in memory than the application reads.

    An answer may end before the body does. Then the rest of the body is dropped as it
    comes in, and the connection is closed: what follows on it must never be taken for
    another request.
    """

    body: BodyStream | None = None

    def __init__(self, *args: Any) -> None:
        # Django parses forms; Twisted need not.
        super().__init__(*args, parsePOSTFormSubmission=False)
        self._is_body_complete = False
        self._is_answered = False
        self._lingering: Any = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_answering(self) -> bool:
        """Whether the answer's status is out."""
        return bool(self.startedWriting)

    @property
    def is_first(self) -> bool:
        """Whether it is the first one of its connection."""
        return self.channel is not None and self.channel.num_requests == 1

    def begin(
        self, method: bytes, target: bytes, version: bytes, *, timeout_s: float
    ) -> None:
        """Hand the request on. Its headers are complete; its body may follow.

        ``timeout_s`` is the time that is left for the body.
        """
        self.method, self.uri, self.clientproto = method, target, version
        self.path = target.partition(b"?")[0]
        # Daphne reads the body from here, and finds none.
        self.content = BytesIO()
        self.registerProducer(self, True)  # noqa: FBT003
        self.body = BodyStream(
            timeout_s=timeout_s,
            pause=self.transport.pauseProducing,
            resume=self._resume_reading,
            on_read=self._invite_body,
        )
        self.process()

    def process(self) -> Any:
        """Remove the ignored headers and hand the request on."""
        for name in _IGNORED_HEADERS:
            self.requestHeaders.removeHeader(name)
        return super().process()

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        """Keep no file for the body."""

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Pass a piece of the body on, or drop it if the answer needs no more."""
        if self.body is not None and not self._is_answered:
            self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802  # Twisted's name
        """Note the end of the body."""
        self._is_body_complete = True
        if self.body is not None:
            self.body.end()
        if self._is_answered:
            self._finish()

    def handle_reply(self, message: Mapping[str, Any]) -> None:
        """Send a part of the answer."""
        is_start = message["type"] == "http.response.start"
        if is_start and not self._is_body_complete and self.channel is not None:
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer in JSON what goes wrong outside of any view; Daphne sends HTML."""
        kind, code = (
            ("invalid_request_error", "bad_request")
            if status < 500
            else ("server_error", "internal_error")
        )
        answer = self.refusal_of(Failure(status, kind, code, f"{body}."))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer.content)).encode("ascii")),
        ]
        start = {"type": "http.response.start", "status": answer.status_code}
        self.handle_reply({**start, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": answer.content})

    def refusal_of(self, failure: Failure) -> HttpResponse:
        """Return the answer to a failure, as far as the request is known."""
        return refusal(failure, self.uri, self.requestHeaders.getAllRawHeaders())

    def handle_exception(self, exception: BaseException) -> None:
        """Answer what the application raised; cut an answer that has begun."""
        if self.is_answering:
            self._cut()
        else:
            super().handle_exception(exception)

    def finish(self) -> None:
        """End the answer; keep the connection until the body has ended too."""
        if self._is_answered:
            return
        self._is_answered = True
        if self.producer:
            self.unregisterProducer()
        self._writable.set()
        if self._is_body_complete:
            self._finish()
            return
        if self.body is not None:
            self.body.put_nowait({"type": "http.disconnect"})
        self._resume_reading()
        self._lingering = reactor.callLater(_LINGER_S, self._end_lingering)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802  # Twisted's name
        """Tell the application that the client has left."""
        self._stop_lingering()
        self._writable.set()
        super().connectionLost(reason)

    async def drained(self, stall_s: float) -> None:
        """Wait until the client has read most of what was written.

        Cuts the connection of a client that has taken nothing for ``stall_s``.
        """
        waiting_since = time.monotonic()
        while not self._writable.is_set():
            since = max(self.transport.taken_at, waiting_since)
            left = since + stall_s - time.monotonic()
            if left <= 0:
                logger.warning(
                    "A client has read nothing of its answer for %g s; its connection "
                    "was closed.",
                    stall_s,
                )
                self._cut()
                return
            try:
                async with asyncio.timeout(left):
                    await self._writable.wait()
            except TimeoutError:
                continue

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """Note that enough waits to be sent."""
        self._writable.clear()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """Note that more can be written."""
        self._writable.set()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        """Note that the connection is lost."""
        self._writable.set()

    def _finish(self) -> None:
        self._stop_lingering()
        if self.channel is not None:
            super().finish()

    def _end_lingering(self) -> None:
        """Close the connection; cut it if the client still does not take the answer."""
        self._lingering = reactor.callLater(_LINGER_S, self._cut)
        self.channel.loseConnection()

    def _stop_lingering(self) -> None:
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        self._lingering = None

    def _cut(self) -> None:
        if self.channel is not None:
            self.transport.abortConnection()

    def _resume_reading(self) -> None:
        if self.channel is not None and not self._is_body_complete:
            self.transport.resumeProducing()

    def _invite_body(self) -> None:
        """Send "100 Continue" to a client that waits for it."""
        expects = self.requestHeaders.getRawHeaders(b"expect", [b""])[0].lower()
        is_new = self.clientproto == b"HTTP/1.1"
        if expects == b"100-continue" and is_new and self.channel is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
