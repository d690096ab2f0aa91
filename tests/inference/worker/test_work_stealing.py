from __future__ import annotations

from inference.worker.work_stealing import Peers
from tests.fakes import Clock


def test_a_worker_is_alone_until_it_hears_of_another_and_once_that_is_silent() -> None:
    clock = Clock()
    peers = Peers(clock=clock)
    assert peers.is_alone
    peers.hear("other", 0)
    assert not peers.is_alone
    clock.now += 2
    peers.hear("another", 0)
    clock.now += 2
    assert not peers.is_alone
    clock.now += 2
    assert peers.is_alone


def test_the_largest_surplus_is_asked_for_as_long_as_it_is_told_of() -> None:
    clock = Clock()
    peers = Peers(clock=clock)
    peers.hear("poor", 0)
    assert peers.richest == ""
    peers.hear("rich", 3)
    peers.hear("richer", 30)
    assert peers.richest == "richer"
    peers.hear("richer", 0)
    assert peers.richest == "rich"
    clock.now += 4
    assert peers.richest == ""
