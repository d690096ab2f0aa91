from __future__ import annotations

from inference.transport.messages.peers import WorkerHeartbeat
from inference.worker.queue.work_stealing import Peers
from tests.fakes import Clock


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
