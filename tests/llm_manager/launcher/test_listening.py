"""Addresses: where to listen, and how a client gets there."""

from __future__ import annotations

import socket

import pytest

from llm_manager.launcher.errors import StartupError
from llm_manager.launcher.listening import accepts, base_url, is_loopback, listen
from tests.llm_manager.conftest import free_port


def test_socket_listens() -> None:
    port = free_port()
    with listen("127.0.0.1", port):
        assert accepts(("127.0.0.1", port))
    assert not accepts(("127.0.0.1", port))


def test_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is in use; stop the other program, or choose "
        "another port with --port (make run PORT=…)."
    )


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_foreign_address_is_one_sentence(host: str) -> None:
    with pytest.raises(StartupError, match="with --host"):
        listen(host, free_port())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104  # shown, not bound
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("example.org", "http://example.org:80"),
    ],
)
def test_url_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert base_url(host, 80) == url


@pytest.mark.parametrize(
    ("host", "answer"),
    [("127.0.0.9", True), ("::1", True), ("localhost", True), ("::", False)],
)
def test_loopback_is_known(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer
