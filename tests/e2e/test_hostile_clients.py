"""Clients that send what they should not: the server refuses it and stays as fast."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0
from tests.e2e.test_serving import until
from tests.hostile_bodies import check_refusal, hostile_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile_bodies import Hostile
    from tests.whole_server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.model]

CHAT = "/v1/chat/completions"
_CONNECTIONS = 4
_IDLE = 64
_REPEATS = 15
_MIB = 1024 * 1024
GOOD = {
    "model": Q4_0,
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 1,
}


class Connection:
    """One connection to the server, kept alive, as the owner of a key has it."""

    def __init__(self, server: Server) -> None:
        self.http = http.client.HTTPConnection(server.host, server.port, timeout=60)
        self._key = f"Bearer {server.key}"

    def post(
        self, path: str, body: bytes, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        headers = {"Authorization": self._key, "Content-Type": content_type}
        self.http.request("POST", path, body, headers)
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def chat(self) -> float:
        """Return the seconds that a good request takes."""
        start = time.monotonic()
        status, answer = self.post(CHAT, json.dumps(GOOD).encode())
        assert status == 200, answer
        return time.monotonic() - start


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    """Open a connection."""
    connection = Connection(server)
    try:
        yield connection
    finally:
        connection.http.close()


@contextmanager
def raw(server: Server) -> Iterator[socket.socket]:
    """Open a connection and say nothing."""
    with socket.create_connection((server.host, server.port), timeout=60) as sock:
        yield sock


def best_s(server: Server) -> float:
    """Return how long a good request takes; other work on the machine only adds."""
    with connected(server) as connection:
        connection.chat()
        return min(connection.chat() for _ in range(_REPEATS))


def is_as_fast(before_s: float, after_s: float) -> bool:
    """Whether a request takes what it took."""
    return after_s < 2 * before_s + 0.05


@pytest.mark.long
def test_thousands_of_hostile_bodies_are_refused_and_cost_nobody_anything(
    server: Server,
) -> None:
    before_s = best_s(server)
    bodies = list(hostile_bodies(Q4_0))

    def refuse(part: list[Hostile]) -> None:
        with connected(server) as connection:
            for hostile in part:
                answer = connection.post(
                    hostile.path, hostile.body, hostile.content_type
                )
                check_refusal(hostile, *answer)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        parts = [bodies[number::_CONNECTIONS] for number in range(_CONNECTIONS)]
        list(pool.map(refuse, parts))

    assert len(bodies) > 2000
    until(lambda: is_as_fast(before_s, best_s(server)), "it is as fast as before")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_the_connection_lives(
    server: Server, is_chunked: bool
) -> None:
    body = json.dumps({**GOOD, "user": "x" * (11 * _MIB)}).encode()
    with connected(server) as connection:
        if is_chunked:
            connection.http.request(
                *("POST", CHAT, iter([body])),
                headers={
                    "Authorization": f"Bearer {server.key}",
                    "Content-Type": "application/json",
                },
                encode_chunked=True,
            )
            answer = connection.http.getresponse()
            status, content = answer.status, answer.read()
        else:
            status, content = connection.post(CHAT, body)

        assert status == 413
        assert json.loads(content)["error"]["code"] == "request_too_large"
        connection.chat()


def test_idle_connections_slow_nobody_down(server: Server) -> None:
    before_s = best_s(server)
    with ExitStack() as stack:
        for number in range(_IDLE):
            sock = stack.enter_context(raw(server))
            # Some have begun to speak.
            if number % 2:
                sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")

        until(lambda: is_as_fast(before_s, best_s(server)), "it is as fast as before")


def request_of(server: Server, body: bytes, *headers: str) -> bytes:
    """Return a chat request as it goes over the wire, without its body."""
    lines = (
        f"POST {CHAT} HTTP/1.1",
        f"Host: {server.host}",
        f"Authorization: Bearer {server.key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer_of(sock: socket.socket) -> tuple[int, Any]:
    """Read one answer."""
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    with answer:
        return answer.status, json.loads(answer.read())


def test_a_client_that_asks_before_it_sends_a_body_may_continue(
    server: Server,
) -> None:
    body = json.dumps({**GOOD, "user": "x" * 1000}).encode()
    with raw(server) as sock:
        sock.sendall(request_of(server, body, "Expect: 100-continue"))
        assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        status, answer = answer_of(sock)

    assert status == 200
    assert answer["choices"]


def test_requests_that_do_not_wait_for_answers_get_them_in_order(
    server: Server,
) -> None:
    good = json.dumps(GOOD).encode()
    bad = json.dumps({**GOOD, "n": 0}).encode()
    with raw(server) as sock:
        for body in (good, bad, good):
            sock.sendall(request_of(server, body) + body)
        # One reader for all three: a second one would miss what the first has read.
        stream = sock.makefile("rb")
        statuses = [_next_status(stream) for _ in range(3)]

    assert statuses == [200, 400, 200]


def _next_status(stream: Any) -> int:
    status = int(stream.readline().split()[1])
    headers = http.client.parse_headers(stream)
    stream.read(int(headers["Content-Length"]))
    return status


def said_to(server: Server, sent: bytes) -> bytes:
    """Return all that the server says to these bytes before it hangs up."""
    said = b""
    with raw(server) as sock, suppress(OSError):
        sock.sendall(sent)
        while piece := sock.recv(65536):
            said += piece
    return said


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"\r\n" * 5000,
        b"GET\r\n\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Y: z\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX-Y: " + b"z" * 1_000_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\xcbT /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-\xff: y\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:30]),
)
def test_bytes_that_are_not_http_harm_no_other_client(
    server: Server, sent: bytes
) -> None:
    said = said_to(server, sent)

    assert not said or said.startswith(b"HTTP/1.1 400 "), said
    with connected(server) as connection:
        connection.chat()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/%ff%00%zz HTTP/1.1\r\nHost: x\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: \xff\xfe\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Y: \x01\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n",
        b"GET /v1/x HTTP/1.1\r\nHost: x\r\nDaphne-Root-Path: \xff\r\n",
        b"GET /v1/x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_requests_that_reach_no_view_are_refused_in_openais_shape_too(
    server: Server, sent: bytes
) -> None:
    head, _, body = said_to(server, sent + b"Connection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )

    assert re.match(rb"HTTP/1.1 4\d\d ", head), head
    assert b"application/json" in head
    assert re.search(rb'"error":.*"message":.*"code":', body), body
