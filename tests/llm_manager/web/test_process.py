"""A web process: what it does with running answers when it is to stop."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher.listening import accepts
from tests.llm_manager.conftest import clean_environment, free_port
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = str(Path(__file__).with_name("serve_stub_app.py"))

pytestmark = pytest.mark.e2e


class Web:
    """A web process, and the gate that lets its slow answers end."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.gate = folder / "gate"
        self.process = subprocess.Popen(
            [sys.executable, SERVE, str(self.port), str(self.gate), "2"],
            env=clean_environment(),
        )

    def accepts(self) -> bool:
        return accepts(("127.0.0.1", self.port))

    def get(
        self, path: str, connection: http.client.HTTPConnection | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = connection or self.connect()
        connection.request("GET", path)
        return connection, connection.getresponse()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path)
    try:
        wait_until(web.accepts)
        yield web
    finally:
        web.process.kill()
        web.process.wait()


def test_running_answer_ends_after_sigterm(web: Web) -> None:
    connection, response = web.get("/slow")
    assert response.read(6) == b"begun "
    web.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not web.accepts())
    assert web.process.poll() is None
    web.gate.touch()
    assert response.read() == b"ended"
    connection.close()
    assert web.process.wait(10) == 0


def test_second_sigterm_cuts_the_answer(web: Web) -> None:
    connection, response = web.get("/slow")
    assert response.read(6) == b"begun "
    web.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not web.accepts())
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(10) == 0
    with response, pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def test_a_reader_slower_than_the_answer_gets_all_of_it(web: Web) -> None:
    connection, response = web.get("/large")
    # More than a socket's buffers hold, so most of it has to wait.
    expected = b"".join(number.to_bytes(2, "big") * 15_000 for number in range(1000))
    assert response.read() == expected + b"ended"
    _, again = web.get("/", connection)
    assert again.read() == b"ended"
    connection.close()


def test_the_end_of_a_large_answer_is_the_end_of_its_connection(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as old:
        old.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: old.recv(2**20), b""))
    assert received.endswith((999).to_bytes(2, "big") * 15_000 + b"ended")


def test_a_reader_that_leaves_a_large_answer_harms_nobody(web: Web) -> None:
    connection, response = web.get("/large")
    response.read(10)
    connection.close()
    other, answer = web.get("/")
    assert answer.read() == b"ended"
    other.close()


def test_idle_connection_does_not_hold_the_process(web: Web) -> None:
    connection, response = web.get("/")
    assert response.read() == b"ended"
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(10) == 0
    connection.close()


def test_a_request_that_was_on_its_way_is_answered_while_draining(web: Web) -> None:
    busy, slow = web.get("/slow")
    slow.read(6)
    fresh = web.connect()
    fresh.connect()
    # The next one is accepted after it, so it is accepted once that is answered.
    later, answer = web.get("/")
    answer.read()
    web.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not web.accepts())
    _, answered = web.get("/", fresh)
    assert answered.status == 200
    assert answered.read() == b"ended"
    _, refused = web.get("/", fresh)
    assert refused.status == 503
    refused.read()
    web.gate.touch()
    assert slow.read() == b"ended"
    assert web.process.wait(10) == 0
    for connection in (busy, fresh, later):
        connection.close()


def test_old_connection_is_sent_elsewhere_while_draining(web: Web) -> None:
    idle, answer = web.get("/")
    answer.read()
    busy, slow = web.get("/slow")
    slow.read(6)
    web.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not web.accepts())
    _, refused = web.get("/", idle)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert b"server_stopping" in refused.read()
    web.gate.touch()
    assert slow.read() == b"ended"
    assert web.process.wait(10) == 0
    idle.close()
    busy.close()
