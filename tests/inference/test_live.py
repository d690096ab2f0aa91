"""States in words, and whether a model fits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from inference.fit import fit
from inference.live import UNLOADED, model_state, overview, worker_state
from inference.models import EngineNode, Worker, WorkerState
from inference.worker_rows import load_plan
from registry.models import Kind
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
        ({"state": WorkerState.FAILED, "wanted": False}, "Failed"),
        ({"state": WorkerState.READY, "wanted": False}, "Unloading"),
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
    assert model_state(model.workers.all()).label == "Ready"
    make_worker(model, node, replica=3)
    assert model_state(model.workers.all()).label == "Ready \u00d72"


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


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(2, "fits"), (1.1, "tight"), (1, "tight"), (0.9, "does not fit")],
)
def test_fit_is_the_engines_own_reckoning(
    model: Model, share: float, verdict: str
) -> None:
    needed = load_plan(model).memory
    assert fit(model, int(needed * share)).verdict == verdict


@pytest.mark.parametrize("limit", [None, 0])
def test_fit_without_an_engine_is_unknown(model: Model, limit: int | None) -> None:
    assert fit(model, limit).verdict == "unknown"


def test_fit_without_the_size_of_a_token_is_unknown() -> None:
    assert fit(make_model(kv_elements_per_token=None), 64 * GIB).verdict == "unknown"


def test_embedding_model_needs_no_size_of_a_token() -> None:
    model = make_model(
        kind=Kind.EMBEDDING, kv_elements_per_token=None, context_length=512
    )
    assert fit(model, 64 * GIB).verdict == "fits"


def test_projector_is_not_loaded_by_itself() -> None:
    assert fit(make_model(kind=Kind.PROJECTOR), GIB).verdict == ""
