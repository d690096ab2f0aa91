"""States of workers and models, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from inference.models import EngineNode, Worker, WorkerState
from inference.status import (
    UNLOADED,
    model_state,
    overview,
    worker_state,
    worker_views,
)
from tests.factories import GIB, make_model, make_node, make_worker

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Model:
    return make_model()


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"state": WorkerState.READY}, "Ready"),
        ({"state": WorkerState.LOADING, "progress": 0.42}, "Loading 42 %"),
        ({"state": WorkerState.LOADING, "progress": 7}, "Loading 100 %"),
        ({"state": WorkerState.DRAINING}, "Draining"),
        ({"state": WorkerState.FAILED}, "Failed"),
        ({"state": WorkerState.FAILED, "is_desired": False}, "Failed"),
        ({"state": WorkerState.READY, "is_desired": False}, "Unloading"),
    ],
)
def test_state_of_a_worker(model: Model, fields: dict[str, object], label: str) -> None:
    worker = make_worker(model, make_node(), **fields)
    assert worker_state(worker).label == label


def test_requested_worker_needs_no_node(model: Model) -> None:
    worker = make_worker(model, None, state=WorkerState.REQUESTED)
    assert worker_state(worker).label == "Requested"


@pytest.mark.parametrize("has_node", [True, False])
def test_worker_of_a_dead_node_is_lost(model: Model, has_node: bool) -> None:
    stale = timezone.now() - timedelta(minutes=1)
    node = make_node(heartbeat_at=stale) if has_node else None
    assert worker_state(make_worker(model, node)).label == "No heartbeat"


def test_model_without_workers_is_unloaded(model: Model) -> None:
    assert model_state(model.workers.all()) == UNLOADED


def test_the_best_replica_speaks_for_the_model(model: Model) -> None:
    node = make_node()
    make_worker(model, node, state=WorkerState.FAILED)
    make_worker(model, node, replica=1, state=WorkerState.LOADING)
    assert model_state(model.workers.all()).name == "loading"
    make_worker(model, node, replica=2)
    assert model_state(model.workers.all()).label == "Ready 1 of 3"
    make_worker(model, node, replica=3)
    assert model_state(model.workers.all()).label == "Ready 2 of 4"


def test_overview_counts_requests_models_and_memory() -> None:
    node = make_node("a", max_models=3)
    make_node("dead", heartbeat_at=timezone.now() - timedelta(minutes=1))
    make_worker(make_model(), node, running=2, waiting=3, memory_bytes=4 * GIB)
    make_worker(make_model(), node, state=WorkerState.LOADING, memory_estimate=2 * GIB)
    make_worker(make_model(), node, state=WorkerState.FAILED)
    make_worker(make_model(), None, state=WorkerState.REQUESTED)
    seen = overview()
    assert (seen.ready, seen.failed, seen.running, seen.waiting) == (1, 1, 2, 3)
    assert seen.capacity == 3
    first = seen.nodes[0]
    assert (first.loaded, first.models_memory) == (2, 6 * GIB)
    assert first.memory_used == 12 * GIB


def test_overview_of_nothing_is_empty() -> None:
    assert not EngineNode.objects.exists()
    assert not Worker.objects.exists()
    assert overview().ready == 0


def test_replicas_that_all_serve_are_counted(model: Model) -> None:
    node = make_node()
    for replica in range(2):
        make_worker(model, node, replica=replica)
    assert model_state(model.workers.all()).label == "Ready \u00d72"


def test_a_replica_that_waits_says_what_for(model: Model) -> None:
    waiting = make_worker(
        model, None, state=WorkerState.REQUESTED, error="Waiting for memory."
    )
    failed = make_worker(model, make_node(), replica=1, state=WorkerState.FAILED)
    views = worker_views([waiting, failed])
    assert [view.waits_for for view in views] == ["Waiting for memory.", ""]
