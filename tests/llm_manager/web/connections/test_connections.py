"""Raw connections to a web process: what it reads, what it refuses, what it cuts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_manager.launcher.listening import accepts
from tests.llm_manager.conftest import clean_environment, free_port
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = str(Path(__file__).parents[1] / "serve_stub_app.py")
_TIMEOUT_S = 2.0
_MIB = 1024 * 1024

pytestmark = pytest.mark.e2e


class Web:
    """A web process with the stub application."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.gate = folder / "gate"
        self.process = subprocess.Popen(
            [sys.executable, SERVE, str(self.port), str(self.gate), str(_TIMEOUT_S)],
            env=clean_environment(),
        )

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, request: bytes) -> bytes:
        """Send raw bytes; return all that comes until the connection is closed."""
        with self.connect() as peer:
            peer.sendall(request)
            return rest_of(peer)

    def memory(self) -> int:
        """Return the bytes that the process holds in memory."""
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path)
    try:
        wait_until(lambda: accepts(("127.0.0.1", web.port)))
        yield web
    finally:
        web.process.kill()
        web.process.wait()


def rest_of(peer: socket.socket) -> bytes:
    return b"".join(iter(lambda: peer.recv(2**20), b""))


def until(peer: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = peer.recv(2**20)
        assert piece, received
        received += piece
    return received


def fill(peer: socket.socket, size: int) -> int:
    """Send until the other side takes no more for half a second; return how much."""
    sent = 0
    peer.settimeout(0.5)
    try:
        while sent < size:
            sent += peer.send(b"x" * min(65_536, size - sent))
    except TimeoutError:
        peer.settimeout(20)
    return sent


def post(path: str, length: int, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


CLOSE = "Connection: close"


@pytest.mark.parametrize("size", [0, 1, 99_999, 5_000_000])
def test_a_body_arrives_whole(web: Web, size: int) -> None:
    answer = web.ask(post("/length", size, CLOSE) + b"x" * size)

    assert answer.startswith(b"HTTP/1.1 200")
    assert str(size).encode() in answer


def test_a_chunked_body_arrives_whole(web: Web) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (n, b"x" * n) for n in (1, 70_000, 300_000))
    head = b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"

    answer = web.ask(head + b"Connection: close\r\n\r\n" + chunks + b"0\r\n\r\n")

    assert b"370001" in answer


def test_bodies_that_nobody_reads_yet_stay_with_their_clients(web: Web) -> None:
    before = web.memory()
    size = 10 * _MIB
    peers = [web.connect() for _ in range(20)]
    for peer in peers:
        peer.sendall(post("/held", size, CLOSE))
        assert fill(peer, size) < size

    # 20 bodies of 10 MiB; of each a little more than 64 KiB may be in the process.
    assert web.memory() - before < 20 * _MIB
    for peer in peers:
        peer.close()


def test_a_body_that_was_held_back_is_read_on(web: Web) -> None:
    size = 20 * _MIB
    with web.connect() as peer:
        peer.sendall(post("/held", size, CLOSE))
        sent = fill(peer, size)
        # Longer than the limit for a request: it is not the client who is slow.
        time.sleep(_TIMEOUT_S)
        web.gate.touch()
        peer.sendall(b"x" * (size - sent))
        assert str(size).encode() in rest_of(peer)


def test_an_answer_before_the_body_is_read_ends_the_connection(web: Web) -> None:
    with web.connect() as peer:
        peer.sendall(post("/", 1000))
        assert b"connection: close" in until(peer, b"ended").lower()
        # What comes now is the body, whatever it looks like.
        peer.sendall(b"GET /length HTTP/1.1\r\nHost: a\r\n\r\n".ljust(1000))
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert rest_of(peer) == b""


def test_a_body_sent_at_once_leaves_the_connection_open(web: Web) -> None:
    with web.connect() as peer:
        for _ in range(3):
            peer.sendall(post("/", 5) + b"12345")
            answer = until(peer, b"ended")
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in answer.lower()


def test_requests_sent_together_are_answered_in_turn(web: Web) -> None:
    answer = web.ask(
        post("/length", 3) + b"abc" + post("/length", 4) + b"abcd" + post("/", 0, CLOSE)
    )

    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.index(b"\r\n3\r\n") < answer.index(b"\r\n4\r\n")


def test_a_client_that_asks_first_is_invited_only_if_its_body_is_read(web: Web) -> None:
    with web.connect() as peer:
        peer.sendall(post("/length", 4, "Expect: 100-continue", CLOSE))
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"body")
        assert b"200 OK" in rest_of(peer)

    with web.connect() as peer:
        peer.sendall(post("/", 4, "Expect: 100-continue"))
        assert peer.recv(1000).startswith(b"HTTP/1.1 200")


def test_headers_that_drip_are_408(web: Web) -> None:
    started = time.monotonic()
    with web.connect() as peer:
        peer.settimeout(0.2)
        answer = b""
        for letter in b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 1000:
            try:
                peer.sendall(bytes([letter]))
                answer = peer.recv(10_000)
            except TimeoutError:
                continue
            break

    assert answer.startswith(b"HTTP/1.1 408")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "request_too_slow"
    assert time.monotonic() - started > _TIMEOUT_S - 0.5


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"
        b"\r\n0\r\n\r\n",
        b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 600 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_clear_request_is_400_in_json(web: Web, request_: bytes) -> None:
    answer = web.ask(request_ + b"\r\n" * 20_000)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["code"] == "bad_request"


def test_a_client_that_reads_nothing_is_cut_off_and_its_answer_ends(web: Web) -> None:
    before = web.memory()
    with web.connect() as peer:
        peer.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(web.gate.exists)

    # What both sockets' buffers hold, and little more.
    assert int(web.gate.read_text()) < 20 * _MIB
    assert web.memory() - before < 10 * _MIB


def test_a_client_that_reads_slowly_is_not_cut_off(web: Web) -> None:
    for _ in range(20):
        with web.connect() as peer:
            peer.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            # Three times as long as a client may take nothing.
            read_at = [time.monotonic()]
            while read_at[-1] < read_at[0] + 3 * _TIMEOUT_S:
                if not peer.recv(300_000):
                    break
                time.sleep(0.05)
                read_at.append(time.monotonic())
            is_cut_off = web.gate.exists()
        longest = max(after - before for before, after in pairwise(read_at))
        if not is_cut_off:
            return
        # Where this machine was busy, it was this client who took nothing.
        assert longest > _TIMEOUT_S / 2
        web.gate.unlink()
    pytest.skip("The machine is too busy to read slowly on it.")


def test_an_answer_that_breaks_is_cut_and_the_next_connection_is_served(
    web: Web,
) -> None:
    with web.connect() as peer:
        peer.sendall(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        until(peer, b"begun \r\n")
        # The end of a whole answer would come first.
        with pytest.raises(ConnectionResetError):
            peer.recv(1000)
    assert web.ask(post("/", 0, CLOSE)).endswith(b"ended")


def is_cut(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True


def test_connections_that_send_nothing_make_room_for_others(web: Web) -> None:
    with web.connect() as first, web.connect() as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        until(slow, b"begun \r\n")
        silent = [web.connect() for _ in range(200)]
        assert is_cut(first)
        answer = web.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"ended")
        web.gate.touch()
        assert b"ended" in rest_of(slow)
        for each in silent:
            each.close()
