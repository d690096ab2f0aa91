"""A node that does not hear itself over Redis, though the database hears it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from inference.models import Worker, WorkerState
from inference.node import worker_rows
from inference.node.silence.own_beats import DEAF_AFTER_S, OwnBeats
from tests.factories import make_model, make_node, make_worker
from tests.fakes import Clock


def test_a_node_is_deaf_when_its_beats_have_not_come_back_for_a_while() -> None:
    clock = Clock()
    beats = OwnBeats(clock)
    clock.now += DEAF_AFTER_S
    assert not beats.is_deaf
    clock.now += 1
    assert beats.is_deaf
    beats.hear()
    assert not beats.is_deaf


@pytest.mark.django_db
def test_a_node_says_in_its_row_when_it_last_heard_redis() -> None:
    node = make_node()
    worker_rows.node_beat(node, silent_s=30)
    node.refresh_from_db()
    assert node.redis_heard_at is not None
    assert node.heartbeat_at - node.redis_heard_at == timedelta(seconds=30)
    worker_rows.node_beat(node)
    node.refresh_from_db()
    assert node.heartbeat_at == node.redis_heard_at


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("deaf_s", "is_silent", "is_free"),
    [
        (20.0, True, True),
        # Its worker hangs; the node looks after that itself.
        (1.0, True, False),
        # The worker is heard: only the engine process has lost its connection.
        (20.0, False, False),
    ],
)
def test_the_workers_of_a_node_that_is_cut_off_from_redis_are_free_for_others(
    deaf_s: float, is_silent: bool, is_free: bool
) -> None:
    here, there = make_node("here"), make_node("there")
    make_worker(make_model("one"), there, incarnation="a")
    worker_rows.node_beat(there, silent_s=deaf_s)
    worker_rows.rows_of(here, {"a"} if is_silent else set(), set())
    assert (Worker.objects.get().state == WorkerState.REQUESTED) is is_free


@pytest.mark.django_db
def test_a_node_without_the_time_in_its_row_is_not_cut_off() -> None:
    here, there = make_node("here"), make_node("there")
    assert there.redis_heard_at is None
    make_worker(make_model("one"), there, incarnation="a")
    worker_rows.rows_of(here, {"a"}, set())
    assert Worker.objects.get().node == there
