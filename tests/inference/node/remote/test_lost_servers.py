"""When a load is tried again after an RPC server was lost."""

from __future__ import annotations

from inference.node.remote.lost_servers import LostServers


def test_the_pause_doubles_and_ends_after_five_losses() -> None:
    now = [0.0]
    lost = LostServers(lambda: now[0])
    pauses = []
    for _ in range(4):
        assert lost.note(1, 0)
        pauses.append(lost.pause_s(1))
    assert pauses == [1, 2, 4, 8]
    assert not lost.note(1, 0)
    assert lost.pause_s(2) == 0


def test_a_worker_that_served_begins_a_new_count() -> None:
    lost = LostServers(lambda: 0.0)
    for _ in range(20):
        assert lost.note(1, 31)
        assert lost.pause_s(1) == 1


def test_a_row_waits_from_its_first_look_until_its_servers_are_there() -> None:
    now = [10.0]
    lost = LostServers(lambda: now[0])
    assert lost.waited_s(1) == 0
    now[0] = 25
    assert lost.waited_s(1) == 15
    lost.found(1)
    assert lost.waited_s(1) == 0
