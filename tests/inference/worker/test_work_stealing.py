from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from inference.transport.messages.peers import WorkerHeartbeat
from inference.worker.queue import work_stealing
from inference.worker.queue.work_stealing import Peers, WorkStealing
from tests.fakes import Clock

if TYPE_CHECKING:
    import pytest


def hear(peers: Peers, control: str, surplus: int) -> None:
    peers.put(WorkerHeartbeat("queue.1", control, control, surplus))


def test_a_worker_is_alone_until_it_hears_of_another_and_once_that_is_silent() -> None:
    clock = Clock()
    peers = Peers(clock=clock)
    assert peers.is_alone
    hear(peers, "other", 0)
    assert not peers.is_alone
    clock.now += 2
    hear(peers, "another", 0)
    clock.now += 2
    assert not peers.is_alone
    clock.now += 2
    assert peers.is_alone


def test_the_busiest_worker_is_asked_as_long_as_its_surplus_is_reported() -> None:
    clock = Clock()
    peers = Peers(clock=clock)
    hear(peers, "poor", 0)
    assert peers.busiest == ""
    hear(peers, "rich", 3)
    hear(peers, "richer", 30)
    assert peers.busiest == "richer"
    hear(peers, "richer", 0)
    assert peers.busiest == "rich"
    clock.now += 4
    assert peers.busiest == ""


class Load:
    """A worker that serves, with so many requests."""

    is_serving = True
    room = num_slots = 4
    num_pending = surplus = 0

    def __init__(self, num_requests: int = 0) -> None:
        self.num_requests = num_requests
        self.requests_by = {"reply.web": num_requests} if num_requests else {}


SPEC: Any = SimpleNamespace(queue="queue.1", incarnation="life-1")


def stealing(load: Load | None = None, **known: Any) -> WorkStealing:
    return WorkStealing(None, SPEC, load or Load(), **known)


def test_a_worker_says_less_often_that_it_serves_where_nobody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work_stealing, "until_next", lambda every_s: every_s)
    rests = stealing(needs_beats=lambda: False, has_machines=False)
    assert rests.heartbeat_in_s == 3


def test_a_worker_speaks_every_second_where_silence_moves_requests_or_models() -> None:
    with_others = stealing(needs_beats=lambda: False, has_machines=False)
    hear(with_others.peers, "other", 0)
    for busy in (
        with_others,
        stealing(needs_beats=lambda: False, has_machines=True),
        stealing(needs_beats=lambda: True, has_machines=False),
        stealing(Load(1), needs_beats=lambda: False, has_machines=False),
    ):
        assert busy.heartbeat_in_s == 1
