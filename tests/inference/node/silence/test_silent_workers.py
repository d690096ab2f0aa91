"""Workers of other nodes that are gone: noticed by their silence over Redis."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async

from inference.models import EngineNode, Worker, WorkerState
from inference.node import worker_rows
from inference.node.silence.silent_workers import SILENT_BEATS, SilentWorkers
from inference.transport.messages.peers import WorkerHeartbeat
from llm_manager.lib.clocks.database_clock import database_now
from tests.factories import make_model


def heartbeat(incarnation: str) -> WorkerHeartbeat:
    return WorkerHeartbeat("queue.1", incarnation, "control", 0)


def test_a_worker_is_silent_after_a_few_beats_without_a_word() -> None:
    workers = SilentWorkers()
    workers.follow(["a", "b"])
    for number in range(1, SILENT_BEATS + 1):
        workers.put(heartbeat("a"))
        assert workers.beat() is (number == SILENT_BEATS)
    assert workers.silent == {"b"}
    assert workers.heard == {"a"}
    workers.put(heartbeat("b"))
    assert not workers.silent


def test_without_beats_nobody_is_silent() -> None:
    workers = SilentWorkers()
    workers.follow(["a"])
    workers.put(heartbeat("a"))
    workers.follow(["a"])
    assert workers.heard == {"a"}


def test_a_worker_that_is_gone_from_the_rows_is_forgotten() -> None:
    workers = SilentWorkers()
    workers.follow(["a"])
    for _ in range(SILENT_BEATS):
        workers.beat()
    workers.follow([])
    assert workers.is_empty
    assert not workers.silent


def make_node(name: str, *, silent_s: float) -> EngineNode:
    now = database_now()
    return EngineNode.objects.create(
        name=name,
        pid=1,
        version="0",
        started_at=now,
        heartbeat_at=now - timedelta(seconds=silent_s),
    )


def claimable(node: EngineNode, silent: set[str], heard: set[str]) -> bool:
    """Return whether a node may claim the only row."""
    rows = worker_rows.rows_of(node, silent, heard)
    return [row.state for row in rows] == [WorkerState.REQUESTED]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("silent_s", "is_silent", "is_heard", "is_claimable"),
    [
        # Dead, or cut off: both stop.
        (4, True, False, True),
        # The database or the engine process stands still; the worker serves.
        (4, False, True, False),
        (120, False, True, False),
        # The engine process is there: it looks after its worker itself.
        (1, True, False, False),
        # Of a worker that loads nothing is heard.
        (4, False, False, False),
        (120, False, False, True),
    ],
)
async def test_a_row_is_free_when_its_node_and_its_worker_are_silent(
    silent_s: float, is_silent: bool, is_heard: bool, is_claimable: bool
) -> None:
    def scene() -> tuple[EngineNode, dict[str, str]]:
        here, there = (
            make_node("here", silent_s=0),
            make_node("there", silent_s=silent_s),
        )
        model = make_model("one")
        Worker.objects.create(
            model=model, node=there, state=WorkerState.READY, incarnation="a"
        )
        return here, worker_rows.workers_elsewhere(here)

    here, elsewhere = await sync_to_async(scene)()
    assert list(elsewhere) == ["a"]
    found = await sync_to_async(claimable)(
        here, {"a"} if is_silent else set(), {"a"} if is_heard else set()
    )
    assert found is is_claimable
