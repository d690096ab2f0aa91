"""A node on which nothing goes on looks seldom; one that is disturbed, every second."""

from __future__ import annotations

from inference.node.silence.calm import Calm
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_node_looks_seldom_once_nothing_has_gone_on_for_a_while() -> None:
    clock = Clock()
    calm = Calm(clock)
    calm.is_alone = True
    busy = calm.look_in_s, calm.beat_in_s
    # The beginning of an interval, of whatever length.
    clock.now = 3600
    assert calm.look_in_s > busy[0]
    assert calm.beat_in_s > busy[1]


def test_a_node_whose_workers_only_serve_looks_with_each_heartbeat() -> None:
    clock = Clock()
    calm = Calm(clock)
    calm.is_alone = True
    busy, clock.now = calm.look_in_s, 3600
    rest = calm.look_in_s
    calm.serve()
    assert busy < calm.look_in_s == calm.beat_in_s < rest
    assert busy < calm.meet_in_s < rest
    calm.disturb()
    assert calm.look_in_s == busy


def test_what_goes_on_makes_it_look_often_again() -> None:
    clock = Clock()
    calm = Calm(clock)
    busy = calm.look_in_s
    clock.now += 60
    calm.disturb()
    assert calm.look_in_s == busy


def test_its_heartbeats_are_never_so_far_apart_that_it_seems_dead() -> None:
    clock = Clock()
    calm = Calm(clock)
    calm.is_alone = True
    for clock.now in range(3600, 3660):
        assert 3 * calm.beat_in_s < HEARTBEAT_EXPIRES.total_seconds()


def test_other_nodes_hear_from_it_every_second_however_calm_it_is() -> None:
    clock = Clock()
    calm = Calm(clock)
    clock.now += 60
    assert calm.beat_in_s == 1


def test_a_node_that_is_alone_looks_more_seldom_than_one_among_others() -> None:
    clock = Clock()
    calm = Calm(clock)
    clock.now += 60
    among_others = calm.look_in_s
    calm.is_alone = True
    assert calm.look_in_s > among_others
