"""One client's connection: requests one after another, each within a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from daphne.http_protocol import HTTPFactory
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

from inference.api.error_shapes.failure import Failure
from inference.api.errors import RequestTooSlow
from llm_manager.lib.errors import INVALID
from llm_manager.web.connections.errors import raw, refusal
from llm_manager.web.connections.idle_connections import IdleConnections
from llm_manager.web.connections.streamed_request import StreamedRequest

if TYPE_CHECKING:
    from django.http import HttpResponse
    from twisted.python.failure import Failure as Reason

reactor: Any = _reactor


class StrictChannel(HTTPChannel):
    """A connection on which a request has a time limit, and one way to be read.

    Two of Twisted's names that begin with an underscore are used: the parts of the
    request line, which it keeps until the body has ended, and the answer to what is no
    request, which is a bare status line there.
    """

    def __init__(self, factory: StrictFactory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._receive_timeout_s = factory.receive_timeout_s
        self.requestFactory: Any = StreamedRequest
        self.site: Any = factory
        self.factory: Any = factory
        self.timeOut = factory.timeOut
        self._slow: Any = None
        self._began_at = 0.0
        #: How many requests have come on this connection.
        self.num_requests = 0
        self._idle = factory.idle

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        """Count the connection: an idle one may be cut for it."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._idle.opened(self)

    def requestDone(self, request: Any) -> None:  # noqa: N802  # Twisted's name
        """Wait for the next request."""
        self._idle.rests(self)
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def cut(self) -> None:
        """End the connection at once."""
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Take what the client sends. The time of a request begins with it."""
        if not self.requests and self._slow is None:
            self._began_at = time.monotonic()
            self._slow = reactor.callLater(
                self._receive_timeout_s, self._refuse_slow_headers
            )
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        """Hand the request on, without waiting for its body."""
        self._stop_clock()
        request = self.requests[-1]
        if not _is_framed_in_one_way(request):
            self._respondToBadRequestAndDisconnect()
            return
        self.num_requests += 1
        self._idle.busy(self)
        self.persistent = self.checkPersistence(request, self._version)  # type: ignore[no-untyped-call]
        left = self._began_at + self._receive_timeout_s - time.monotonic()
        request.begin(self._command, self._path, self._version, timeout_s=max(left, 0))

    def connectionLost(self, reason: Reason = connectionDone) -> None:  # noqa: N802  # Twisted's name
        """Stop the clock."""
        self._stop_clock()
        self._idle.closed(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  # Twisted's name
        """Refuse a header that does not end."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802  # Twisted's name
        message = "This is no HTTP request that can be served."
        self._refuse(Failure(400, INVALID, "bad_request", message))

    def _refuse_slow_headers(self) -> None:
        self._slow = None
        slow = RequestTooSlow()
        self._refuse(Failure(slow.status, slow.type, slow.code, slow.message))

    def _refuse(self, failure: Failure) -> None:
        self._stop_clock()
        # What else has come in is no request of anybody.
        self.lineReceived = self.rawDataReceived = _drop  # type: ignore[method-assign]
        if not any(request.is_answering for request in self.requests):
            transport: Any = self.transport
            transport.write(raw(self._answer_to(failure)))
        self.loseConnection()  # type: ignore[no-untyped-call]

    def _answer_to(self, failure: Failure) -> HttpResponse:
        """Return the answer to a failure of the request that is being read."""
        if not self.requests:
            return refusal(failure, b"", ())
        headers = self.requests[-1].requestHeaders.getAllRawHeaders()
        return refusal(failure, getattr(self, "_path", b""), headers)

    def _stop_clock(self) -> None:
        if self._slow is not None and self._slow.active():
            self._slow.cancel()
        self._slow = None


class StrictFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Makes the channels of a server."""

    def __init__(
        self, server: Any, *, receive_timeout_s: float, max_connections: int
    ) -> None:
        super().__init__(server)
        self.receive_timeout_s = receive_timeout_s
        self.idle = IdleConnections(max_connections)

    def startFactory(self) -> None:  # noqa: N802  # Twisted's name
        """Keep none of Twisted's logs, for which it would read the clock every second.

        ``web/middleware/access_log.py`` has the requests.
        """

    def buildProtocol(self, addr: Any) -> StrictChannel:  # noqa: N802  # Twisted's name
        """Return the protocol of a new connection."""
        return StrictChannel(self)


def _drop(data: bytes) -> None:
    """Take data that nobody reads."""


def _is_framed_in_one_way(request: StreamedRequest) -> bool:
    """Return whether any reader finds the end of this request at the same place.

    Twisted ignores ``identity`` beside ``chunked``; a proxy may not.
    """
    encodings = request.requestHeaders.getRawHeaders(b"transfer-encoding")
    return encodings is None or [each.lower() for each in encodings] == [b"chunked"]
