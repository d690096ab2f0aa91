"""What workers take of a node: the estimate, real use, and shared pages once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inference.capacity.load_plan import LoadPlan
from inference.capacity.memory_estimate import DeviceMemory, MemoryEstimate
from inference.models import EngineNode
from inference.node.claimed_worker import ClaimedWorker, node_capacity

#: 60 bytes of its own, 40 of a file's pages; 30 more pages that nobody needs.
TAKEN = MemoryEstimate(DeviceMemory(weights=100), mapped=40, stale=30)


def claimed(row_id: int, model: int = 1, rss: int = 0, **fields: Any) -> ClaimedWorker:
    process = SimpleNamespace(
        is_draining=fields.pop("is_draining", False),
        ready_at=time.monotonic() - 60,
        report=SimpleNamespace(running=0),
    )
    settings = SimpleNamespace(is_pinned=fields.pop("is_pinned", False))
    plan = LoadPlan(cast("Any", SimpleNamespace(rpc_servers=())), TAKEN)
    return ClaimedWorker(
        row_id=row_id,
        replica=fields.pop("replica", 0),
        model=cast("Any", SimpleNamespace(pk=model, name=f"model-{model}")),
        settings=cast("Any", settings),
        plan=plan,
        process=cast("Any", process),
        last_used=0.0,
        rss=rss,
    )


def loaded(*workers: ClaimedWorker) -> dict[int, tuple[int, bool]]:
    """Return each worker's memory, and whether it is extra."""
    capacity = node_capacity(EngineNode(memory_limit=1000, max_models=4), workers)
    return {each.key: (each.memory[0], each.is_extra) for each in capacity.loaded}


def test_a_worker_counts_as_estimated_or_as_it_is_if_that_is_more() -> None:
    assert loaded(claimed(1)) == {1: (100, False)}
    assert loaded(claimed(1, rss=120)) == {1: (100, False)}
    assert loaded(claimed(1, rss=150)) == {1: (120, False)}


def test_the_pages_of_one_file_count_once() -> None:
    found = loaded(claimed(1), claimed(2, replica=1), claimed(3, model=2))
    assert found == {1: (100, False), 2: (60, True), 3: (100, False)}


def test_a_replica_that_stays_is_not_spare_beside_one_that_leaves() -> None:
    found = loaded(claimed(1, is_draining=True), claimed(2, replica=1))
    assert found[2] == (100, False)


def test_the_room_knows_names_and_what_is_left() -> None:
    node = EngineNode(memory_limit=1000, max_models=4)
    capacity = node_capacity(node, [claimed(1), claimed(2, model=2, is_pinned=True)])
    assert capacity.free == (800,)
    assert capacity.names == {1: "model-1", 2: "model-2"}
    assert [each.is_pinned for each in capacity.loaded] == [False, True]
    assert node_capacity(node, []).free == (1000,)


def resting(**fields: Any) -> ClaimedWorker:
    """Return a worker that has served, and has nothing to do for a minute."""
    worker = claimed(1)
    worker.is_saved_ready = True
    worker.last_used = time.monotonic() - 60
    worker.settings = cast("Any", SimpleNamespace(keep_alive=fields.pop("keep", 0)))
    report = {"state": "ready", "running": 0, "waiting": 0}
    worker.process = cast(
        "Any",
        SimpleNamespace(
            is_draining=fields.pop("is_draining", False),
            silent_s=fields.pop("silent_s", 1.0),
            report=SimpleNamespace(**report | fields),
        ),
    )
    return worker


def test_a_worker_that_only_waits_or_serves_needs_no_watching() -> None:
    assert resting().is_steady
    assert resting(keep=3600).is_steady
    assert not resting().is_busy
    for fields in ({"running": 1}, {"waiting": 1}):
        # It is not unloaded before its requests have ended.
        assert resting(keep=65, **fields).is_steady
        assert resting(**fields).is_busy


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "loading"},
        {"is_draining": True},
        # It is unloaded in a moment.
        {"keep": 65},
        # It may hang, with requests or without.
        {"silent_s": 20.0, "running": 1},
        {"silent_s": 20.0},
    ],
)
def test_a_worker_with_which_something_goes_on_is_watched(
    fields: dict[str, Any],
) -> None:
    assert not resting(**fields).is_steady
