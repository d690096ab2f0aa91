"""A web process without requests has nothing to look at, and plans no looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import daphne.server
import pytest

from llm_manager.web.connections import resting_server
from llm_manager.web.connections.resting_server import RestingServer

if TYPE_CHECKING:
    from collections.abc import Callable


class Reactor:
    """Keeps what is planned."""

    def __init__(self) -> None:
        self.planned: list[Callable[[], None]] = []

    def callLater(self, delay: float, call: Callable[[], None]) -> None:
        self.planned.append(call)

    def go_on(self) -> int:
        """Do what is planned; return how much that was."""
        due, self.planned = self.planned, []
        for call in due:
            call()
        return len(due)


class Request:
    """What Daphne looks after."""

    def __init__(self) -> None:
        self.looks = 0

    def check_timeouts(self) -> None:
        self.looks += 1


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Reactor:
    reactor = Reactor()
    monkeypatch.setattr(daphne.server, "reactor", reactor)
    monkeypatch.setattr(resting_server, "reactor", reactor)
    return reactor


@pytest.fixture
def server(reactor: Reactor) -> RestingServer:
    server = RestingServer(application=None, endpoints=["none"])
    server.connections = {}
    server.application_checker()
    server.timeout_checker()
    return server


def test_without_requests_nothing_is_planned(
    server: RestingServer, reactor: Reactor
) -> None:
    assert not reactor.planned


def test_a_request_is_looked_after_until_it_is_gone_and_so_is_the_next(
    server: RestingServer, reactor: Reactor
) -> None:
    for _ in range(2):
        request: Any = Request()
        server.protocol_connected(request)
        for looks in range(1, 4):
            assert reactor.go_on() == 2
            assert request.looks == looks
        server.protocol_disconnected(request)
        # The look that finds it gone is followed by one that finds nothing.
        while reactor.planned:
            reactor.go_on()
        assert not server.connections


def test_requests_share_the_looks(server: RestingServer, reactor: Reactor) -> None:
    first: Any = Request()
    second: Any = Request()
    server.protocol_connected(first)
    server.protocol_connected(second)
    assert reactor.go_on() == 2
    assert first.looks == second.looks == 1
