from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from inference import services, serving
from inference.errors import EngineUnavailable, ModelLoadFailed
from inference.models import (
    EngineNode,
    StopOrder,
    Worker,
    WorkerState,
)
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES
from tests.configuration import changed
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db(transaction=True)


def ensure(model_id: int) -> None:
    async_to_sync(services.ensure_worker)(model_id)


def stop_beating(node: EngineNode) -> None:
    node.heartbeat_at = timezone.now() - 2 * HEARTBEAT_EXPIRES
    node.save()


def test_a_model_is_loaded_once_however_often_it_is_requested() -> None:
    model = make_model()
    make_node()
    for _ in range(3):
        ensure(model.pk)
        services.worker_request(model=model)
    worker = Worker.objects.get()
    assert (worker.state, worker.is_desired, worker.node) == ("requested", True, None)


def test_a_model_that_serves_is_left_alone() -> None:
    model = make_model()
    worker = make_worker(model, make_node())
    ensure(model.pk)
    worker.refresh_from_db()
    assert worker.state == WorkerState.READY


def test_a_model_that_drains_comes_back_when_it_is_requested() -> None:
    model = make_model()
    worker = make_worker(
        model, make_node(), state=WorkerState.DRAINING, is_desired=False
    )
    ensure(model.pk)
    worker.refresh_from_db()
    assert worker.is_desired


def test_without_an_engine_a_request_is_refused_with_what_to_do() -> None:
    model = make_model()
    with pytest.raises(EngineUnavailable, match="llm-manager engine") as caught:
        ensure(model.pk)
    assert caught.value.retry_after
    stop_beating(make_node("host"))
    silent = r"'host' wrote to the database \d+ s ago: the database is locked, or"
    with pytest.raises(EngineUnavailable, match=silent) as caught:
        ensure(model.pk)
    assert caught.value.retry_after
    assert not Worker.objects.exists()


def test_a_worker_on_a_dead_machine_does_not_count() -> None:
    model = make_model()
    dead = make_node("dead")
    make_worker(model, dead, incarnation="x")
    stop_beating(dead)
    with pytest.raises(EngineUnavailable):
        ensure(model.pk)
    assert serving.serving_statuses([model.pk])[model.pk].incarnations == frozenset()


def test_a_model_that_has_just_failed_is_not_loaded_again_by_requests() -> None:
    model = make_model("broken")
    make_worker(
        model,
        make_node(),
        state=WorkerState.FAILED,
        error="unknown architecture",
        failed_at=timezone.now(),
    )
    with pytest.raises(ModelLoadFailed, match="unknown architecture") as caught:
        ensure(model.pk)
    assert 0 < (caught.value.retry_after or 0) <= 30


def test_a_model_that_failed_a_while_ago_is_tried_again() -> None:
    model = make_model()
    worker = make_worker(
        model,
        make_node(),
        state=WorkerState.FAILED,
        error="no memory",
        failed_at=timezone.now() - timedelta(seconds=31),
    )
    ensure(model.pk)
    worker.refresh_from_db()
    assert (worker.state, worker.error, worker.node) == ("requested", "", None)


def test_an_administrator_may_try_a_failed_model_at_once() -> None:
    model = make_model()
    make_worker(model, make_node(), state=WorkerState.FAILED, failed_at=timezone.now())
    assert services.worker_request(model=model).state == WorkerState.REQUESTED


def test_unloading_keeps_the_row_until_the_engine_has_drained_it() -> None:
    model = make_model()
    worker = make_worker(model, make_node())
    assert services.worker_release(model=model) == 1
    worker.refresh_from_db()
    assert not worker.is_desired
    assert services.worker_release(model=model) == 0


def test_unloading_a_request_that_no_engine_has_taken_deletes_it() -> None:
    model = make_model()
    services.worker_request(model=model)
    services.worker_release(model=model)
    assert not Worker.objects.exists()


def test_a_serving_status_has_what_requests_need_to_know() -> None:
    node = make_node()
    ready, full, failed, idle = (make_model() for _ in range(4))
    make_worker(ready, node, incarnation="a")
    backlog = [
        {"key": key, "count": count, "position": 1, "since": 0.0}
        for key, count in (("a", 30), (None, 12))
    ]
    make_worker(full, node, incarnation="b", waiting_by_key=backlog)
    make_worker(failed, node, state=WorkerState.FAILED, error="bad file")
    statuses = serving.serving_statuses([m.pk for m in (ready, full, failed, idle)])
    assert statuses[ready.pk] == serving.ServingStatus(
        incarnations=frozenset({"a"}), has_worker=True, is_serving=True
    )
    assert statuses[full.pk].is_serving
    assert statuses[full.pk].waiting == 42
    assert "bad file" in statuses[failed.pk].error
    assert statuses[idle.pk] == serving.ServingStatus()


def test_a_worker_that_is_to_go_serves_no_more() -> None:
    model = make_model()
    make_worker(model, make_node(), incarnation="a", is_desired=False)
    status = serving.serving_statuses([model.pk])[model.pk]
    assert status.incarnations == {"a"}
    assert not status.is_serving


def test_a_worker_without_heartbeat_is_doubtful_and_one_that_loads_is_not() -> None:
    stale = make_node("stale")
    lost, loading = make_model(), make_model()
    make_worker(lost, stale, incarnation="a")
    make_worker(
        loading, make_node(), incarnation="b", state=WorkerState.LOADING, progress=0.9
    )
    stop_beating(stale)
    statuses = serving.serving_statuses([lost.pk, loading.pk])
    assert statuses[lost.pk].doubtful == {"a"}
    assert statuses[loading.pk].incarnations == {"b"}


def test_waiting_for_a_load_ends_with_the_worker_or_its_error() -> None:
    node = make_node()
    good, bad = make_model(), make_model()
    worker = make_worker(good, node)
    make_worker(bad, node, state=WorkerState.FAILED, error="bad magic")
    wait = async_to_sync(services.worker_wait)
    assert wait(good, timeout_s=5).pk == worker.pk
    with pytest.raises(ModelLoadFailed, match="bad magic"):
        wait(bad, timeout_s=5)


def test_waiting_for_a_load_ends_when_the_time_is_over() -> None:
    model = make_model()
    make_worker(model, make_node(), state=WorkerState.LOADING)
    with pytest.raises(EngineUnavailable, match="not loaded within"):
        async_to_sync(services.worker_wait)(model, timeout_s=0.2)


# Replicas ------------------------------------------------------------------------


def replicas(model: Model) -> list[tuple[int, str, bool]]:
    rows = Worker.objects.filter(model=model).order_by("replica")
    return list(rows.values_list("replica", "state", "is_desired"))


def test_a_model_gets_as_many_rows_as_it_is_to_have_replicas() -> None:
    model = make_model(replicas=3)
    assert services.worker_request(model=model).replica == 0
    services.worker_request(model=model)
    assert replicas(model) == [(n, "requested", True) for n in range(3)]


def test_the_configurations_replicas_are_those_of_a_model_without_its_own(
    settings: Any,
) -> None:
    settings.CONFIG = changed(settings.CONFIG, engine__replicas=2)
    model, single = make_model(), make_model(replicas=1)
    services.worker_request(model=model)
    services.worker_request(model=single)
    assert (len(replicas(model)), len(replicas(single))) == (2, 1)


def test_unloading_concerns_every_replica() -> None:
    model = make_model(replicas=3)
    services.worker_request(model=model)
    Worker.objects.filter(replica__lt=2).update(node=make_node(), state="ready")
    assert services.worker_release(model=model) == 3
    assert replicas(model) == [(0, "ready", False), (1, "ready", False)]


def test_one_replica_that_serves_is_enough() -> None:
    model, node = make_model(replicas=2), make_node()
    make_worker(model, node, state=WorkerState.FAILED, failed_at=timezone.now())
    make_worker(model, node, replica=1, incarnation="b")
    assert async_to_sync(services.ensure_worker)(model.pk)
    status = serving.serving_statuses([model.pk])[model.pk]
    assert status.is_serving
    assert status.has_worker
    assert status.error == ""
    wait = async_to_sync(services.worker_wait)
    assert wait(model, timeout_s=5).replica == 1


def test_requests_of_all_replicas_are_looked_after() -> None:
    model, node, silent = make_model(), make_node(), make_node("silent")
    make_worker(model, node, incarnation="a", waiting_by_key=[{"count": 2}])
    make_worker(model, node, replica=1, incarnation="b")
    make_worker(model, silent, replica=2, incarnation="c")
    stop_beating(silent)
    status = serving.serving_statuses([model.pk])[model.pk]
    assert status.incarnations == {"a", "b"}
    assert status.doubtful == {"c"}
    assert status.waiting == 2


def test_replicas_that_wait_do_not_hide_that_the_first_one_failed() -> None:
    model = make_model()
    make_worker(
        model,
        make_node(),
        state=WorkerState.FAILED,
        error="bad magic",
        failed_at=timezone.now(),
    )
    make_worker(model, None, replica=1, state=WorkerState.REQUESTED)
    status = serving.serving_statuses([model.pk])[model.pk]
    assert not status.has_worker
    assert "bad magic" in status.error
    with pytest.raises(ModelLoadFailed, match="bad magic"):
        async_to_sync(services.worker_wait)(model, timeout_s=5)


def test_a_worker_that_answers_serves_though_its_engine_stands_still() -> None:
    model = make_model()
    node = make_node()
    make_worker(model, node, state=WorkerState.READY, incarnation="x")
    stop_beating(node)
    heard = frozenset({"x"})
    assert async_to_sync(services.ensure_worker)(model.pk, heard)
    status = serving.serving_statuses([model.pk], heard)[model.pk]
    assert status.incarnations == heard
    assert status.is_serving
    assert status.has_worker


def test_a_worker_that_serves_before_its_row_says_so_counts() -> None:
    model = make_model()
    make_worker(model, make_node(), state=WorkerState.LOADING, incarnation="x")
    assert not async_to_sync(services.ensure_worker)(model.pk)
    assert async_to_sync(services.ensure_worker)(model.pk, frozenset({"x"}))


# Loads with settings of their own -------------------------------------------------


def load(model: Model, **config: Any) -> dict[str, Any]:
    """Request a load with these settings; return those of its row."""
    services.worker_load(model=model, config=config)
    return dict(Worker.objects.get().load_config)


def orders(model: Model) -> int:
    return StopOrder.objects.filter(model=model).count()


def test_settings_of_a_load_hold_while_others_only_ask_for_the_model() -> None:
    model = make_model()
    assert load(model, n_ctx=2048) == {"n_ctx": 2048}
    services.worker_request(model=model)
    assert Worker.objects.get().load_config == {"n_ctx": 2048}
    assert orders(model) == 0


def test_a_model_that_is_loaded_with_other_settings_is_loaded_again() -> None:
    model = make_model()
    make_worker(model, make_node())
    assert load(model, n_ctx=2048) == {"n_ctx": 2048}
    assert StopOrder.objects.get().action == StopOrder.Action.RELOAD
    assert Worker.objects.get().is_stopping
    load(model, n_ctx=2048)
    assert StopOrder.objects.get().number == 1
    assert load(model) == {}
    assert StopOrder.objects.get().number == 2


@pytest.mark.parametrize("end", ["unload", "failure", "reload"])
def test_settings_of_a_load_end_with_it(end: str) -> None:
    model = make_model()
    worker = make_worker(model, make_node(), load_config={"n_ctx": 2048})
    if end == "unload":
        services.worker_release(model=model)
    elif end == "failure":
        Worker.objects.update(state=WorkerState.FAILED)
    else:
        services.worker_reload(model=model)
    services.worker_request(model=model)
    worker.refresh_from_db()
    assert (worker.is_desired, worker.load_config) == (True, {})


def test_further_replicas_have_the_settings_of_the_first() -> None:
    model = make_model(replicas=2)
    services.worker_load(model=model, config={"n_ctx": 2048})
    assert [w.load_config for w in Worker.objects.all()] == [{"n_ctx": 2048}] * 2


def test_waiting_for_a_load_waits_for_the_worker_with_its_settings() -> None:
    model = make_model()
    worker = make_worker(model, make_node())
    load(model, n_ctx=2048)
    assert services._ready_worker(model) is None
    Worker.objects.update(stop_number=1)
    assert services._ready_worker(model) == worker
