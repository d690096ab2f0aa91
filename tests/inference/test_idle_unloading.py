"""When an idle model is unloaded, as `llm-manager ps` shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.idle_unloading import keep_alive_of, unload_at
from inference.models import WorkerState
from inference.status import overview
from tests.factories import make_model, make_node, make_worker

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def times() -> list[float | None]:
    """Return when each worker is unloaded."""
    workers = overview().workers
    return [unload_at(each.worker, workers) for each in workers]


def test_an_idle_model_goes_its_keep_alive_after_its_last_request() -> None:
    make_worker(make_model(keep_alive=300), make_node(), last_used_at=NOON)
    assert times() == [NOON.timestamp() + 300]


def test_replicas_go_together() -> None:
    model, node = make_model(keep_alive=300), make_node()
    make_worker(model, node, last_used_at=NOON)
    later = NOON.replace(minute=1)
    make_worker(model, node, replica=1, last_used_at=later)
    assert times() == [later.timestamp() + 300] * 2


@pytest.mark.parametrize(
    "busy", [{"running": 1}, {"waiting": 1}, {"state": WorkerState.LOADING}]
)
def test_none_goes_while_one_of_them_works(busy: dict[str, object]) -> None:
    model, node = make_model(keep_alive=300), make_node()
    make_worker(model, node, last_used_at=NOON)
    make_worker(model, node, replica=1, last_used_at=NOON, **busy)
    assert times() == [None, None]


@pytest.mark.parametrize("stays", [{"keep_alive": 0}, {"is_pinned": True}])
def test_a_model_that_stays_has_no_such_time(stays: dict[str, Any]) -> None:
    model = make_model(**stays)
    make_worker(model, make_node(), last_used_at=NOON)
    assert keep_alive_of(model) is None
    assert times() == [None]
