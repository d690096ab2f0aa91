"""Request and release workers, and wait for them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit.actor import current_actor
from accounts.audit.log import note
from inference.engine_messages import engine_wake, wake_engines
from inference.errors import EngineUnavailable, ModelDisabled, ModelLoadFailed
from inference.models import EngineNode, StopOrder, Worker, WorkerState
from inference.serving import HEARTBEAT, is_alive
from inference.stops import disabled_message, stop_order_add
from llm_manager.lib.clocks.database_clock import database_now
from llm_manager.lib.threads import in_thread
from registry.models import Model

#: After a failed load, requests do not start another one for this long.
FAILED_RETRY = timedelta(seconds=30)
_POLL_S = 0.1
_RETRY_AFTER_S = 5
#: The length of the columns with names.
_NAME_LENGTH = 255


def worker_request(*, model: Model, by: str = "") -> Worker:
    """Request that the model is loaded; return its first worker row. Idempotent.

    It gets one row for each replica. A failed worker is tried again, a draining one
    comes back. ``by`` says who asks, for people: else who makes the change.
    """
    worker = _desire(model, by=by or current_actor().by)
    note(model, "load requested")
    engine_wake()
    return worker


def worker_load(*, model: Model, config: dict[str, Any], by: str = "") -> None:
    """Request that the model is loaded with settings of this load, ``config``.

    They hold until it is unloaded or an administrator reloads it. Workers that were
    requested with others are loaded again, after their running requests.
    """
    with transaction.atomic():
        _desire(model, config, by=by or current_actor().by)
        workers = Worker.objects.filter(model=model, is_desired=True)
        if any(worker.load_config != config for worker in workers):
            workers.update(load_config=config)
            # Also if none is loaded: a node may have read the old settings by now.
            action = StopOrder.Action.RELOAD
            stop_order_add(model=model, action=action, by=by, is_now=False)
    engine_wake()


def replicas_adjust(*, model: Model) -> None:
    """Request or release workers of a loaded model to match its settings."""
    if Worker.objects.filter(model=model, is_desired=True).exists():
        _desire(model, by=current_actor().by)
        engine_wake()


def replicas_set(*, model: Model, replicas: int, by: str) -> None:
    """Request or release workers of a model until it has so many."""
    _desire(model, by=by, replicas=replicas)
    engine_wake()


def models_preload() -> list[Model]:
    """Request all models that are loaded when an engine starts; return them."""
    models = [
        model
        for model in Model.objects.servable().files()
        if model.setting_in_force("is_preloaded")
    ]
    for model in models:
        worker_request(model=model, by="the start of the engine")
    return models


def worker_release(
    *,
    model: Model,
    by: str = "",
    is_now: bool = False,
    action: StopOrder.Action = StopOrder.Action.UNLOAD,
) -> int:
    """Order that the model is unloaded; return the number of its workers.

    Running requests are finished first, unless ``is_now``: then they end with an
    error that says ``by`` whom. Waiting requests end in any case.
    """
    with transaction.atomic():
        workers = Worker.objects.filter(model=model)
        count = workers.filter(is_desired=True).update(is_desired=False)
        # These rows have no process, so nothing needs to end first.
        workers.filter(node=None).delete()
        workers.filter(state=WorkerState.FAILED).delete()
        left = workers.count()
        stop_order_add(model=model, action=action, by=by, is_now=is_now)
        note(model, f"{action} requested", now=is_now)
    engine_wake()
    return max(count, left) if is_now else count


def worker_reload(*, model: Model, by: str = "", is_now: bool = False) -> int:
    """Order that the model is loaded again; return the number of its workers.

    It gets the settings of its row, whatever its last load asked for. Running requests
    are finished first, unless ``is_now``: then they continue in the new workers, as
    waiting requests do in any case.
    """
    with transaction.atomic():
        count = Worker.objects.filter(
            model=model,
            is_desired=True,
            state__in=(WorkerState.LOADING, WorkerState.READY),
        ).count()
        if count:
            Worker.objects.filter(model=model).update(load_config={})
            action = StopOrder.Action.RELOAD
            stop_order_add(model=model, action=action, by=by, is_now=is_now)
            note(model, f"{action} requested", now=is_now)
    engine_wake()
    return count


def _desire(
    model: Model,
    config: dict[str, Any] | None = None,
    *,
    by: str = "",
    replicas: int = 0,
) -> Worker:
    """Mark a row for each replica as desired; return the first row.

    There are as many as are given, or else as there are now, within the model's bounds.

    New rows have the settings of this load, ``config``, or else those of the first row.
    What was unloaded or has failed is a new load. ``by`` is who asks for it.
    """
    replicas = replicas or _replicas_wanted(model)
    by = by[:_NAME_LENGTH]
    first = _row(model, 0, config or {}, by)
    shared = first.load_config if config is None else config
    extra = [_row(model, number, shared, by) for number in range(1, replicas)]
    workers = [first, *extra]
    rows = Worker.objects.filter(model=model)
    surplus = rows.filter(replica__gte=replicas, is_desired=True)
    surplus.filter(node=None).delete()
    surplus.update(is_desired=False)
    desired = rows.filter(replica__lt=replicas)
    now = timezone.now()
    desired.filter(is_desired=False).update(
        is_desired=True, requested_at=now, requested_by=by, load_config={}
    )
    # Conditional, so that only one of many requests restarts a failed load.
    desired.filter(state=WorkerState.FAILED).update(
        state=WorkerState.REQUESTED,
        is_desired=True,
        node=None,
        error="",
        failed_at=None,
        progress=0,
        restarts=0,
        requested_at=now,
        requested_by=by,
        load_config={},
    )
    workers[0].refresh_from_db()
    return workers[0]


def _replicas_wanted(model: Model) -> int:
    """Return how many replicas a model has now, within its bounds."""
    least: int = model.setting_in_force("replicas")
    most: int = max(least, model.setting_in_force("replicas_max"))
    now = Worker.objects.filter(model=model, is_desired=True).count()
    return min(max(now, least), most)


def _row(model: Model, replica: int, config: dict[str, Any], by: str) -> Worker:
    try:
        with transaction.atomic():
            worker, _ = Worker.objects.get_or_create(
                model=model,
                replica=replica,
                defaults={"load_config": config, "requested_by": by},
            )
    except IntegrityError:
        # Another request created the row after our query.
        worker = Worker.objects.get(model=model, replica=replica)
    return worker


async def ensure_worker(
    model_id: int, heard: frozenset[str] = frozenset(), *, by: str = "a request"
) -> bool:
    """Make sure that the model is loaded or being loaded; return whether it serves.

    ``heard`` are incarnations of workers that say themselves that they serve, ``by``
    is who needs it. Raises EngineUnavailable if no engine runs, ModelLoadFailed if the
    model has just failed to load.
    """
    serves = await in_thread(_ensure, model_id, heard, by)
    if serves is None:
        await wake_engines()
    return bool(serves)


def _ensure(model_id: int, heard: frozenset[str], by: str) -> bool | None:
    """Do the database's part of ``ensure_worker``; None if an engine must be woken."""
    workers = Worker.objects.select_related("node").filter(model_id=model_id)
    workers = workers.only(
        "state", "is_desired", "failed_at", "error", "incarnation", HEARTBEAT
    )
    alive = [worker for worker in workers if is_alive(worker, heard)]
    states = {worker.state for worker in alive if worker.is_desired}
    serves = any(w.is_desired and w.incarnation in heard for w in alive)
    if WorkerState.READY in states or serves:
        return True
    if WorkerState.LOADING in states:
        return False
    for worker in alive:
        _refuse_if_failed(worker)
    if not EngineNode.objects.open().exists():
        raise _no_engine()
    model = Model.objects.get(pk=model_id)
    if not model.is_enabled:
        raise ModelDisabled(disabled_message(model))
    _desire(model, by=by)
    return None


def _refuse_if_failed(worker: Worker) -> None:
    if worker.state != WorkerState.FAILED or worker.failed_at is None:
        return
    left = worker.failed_at + FAILED_RETRY - timezone.now()
    if left > timedelta(0):
        raise ModelLoadFailed(
            f"The model '{worker.model}' could not be loaded: {worker.error}",
            retry_after=max(1, int(left.total_seconds())),
        )


async def worker_wait(model: Model, *, timeout_s: float) -> Worker:
    """Wait until the model is loaded; return its worker.

    Raises ModelLoadFailed with llama.cpp's reason, EngineUnavailable if no engine
    runs or after ``timeout_s``.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        worker = await in_thread(_ready_worker, model)
        if worker is not None:
            return worker
        await asyncio.sleep(_POLL_S)
    raise EngineUnavailable(
        f"The model '{model}' was not loaded within {timeout_s:.0f} s.",
        retry_after=_RETRY_AFTER_S,
    )


def _ready_worker(model: Model) -> Worker | None:
    """Return the model's worker if it is ready, None while it may still become ready.

    One that is about to be reloaded is not ready. Raises as ``worker_wait`` does.
    """
    rows = Worker.objects.select_related("node", "model__stop_order")
    workers = list(rows.filter(model=model))
    ready = [w for w in workers if w.state == WorkerState.READY and not w.is_stopping]
    if ready:
        return ready[0]
    failed = [worker for worker in workers if worker.state == WorkerState.FAILED]
    if failed and all(w in failed or w.node is None for w in workers):
        raise ModelLoadFailed(
            f"The model '{model}' could not be loaded: {failed[0].error}",
            retry_after=_RETRY_AFTER_S,
        )
    if not EngineNode.objects.open().exists():
        raise _no_engine()
    return None


def _no_engine() -> EngineUnavailable:
    node = EngineNode.objects.order_by("-heartbeat_at").first()
    if node is not None and node.is_alive:
        message = "All nodes are drained: none takes a model before that is ended."
    elif node is None:
        message = "No engine is running: start one with `llm-manager engine`."
    else:
        age = (database_now() - node.heartbeat_at).total_seconds()
        message = (
            f"No engine answers. The one on '{node}' wrote to the database {age:.0f} s "
            "ago: the database is locked, or the engine stands still or has ended; "
            "`llm-manager engine` starts it."
        )
    return EngineUnavailable(message, retry_after=_RETRY_AFTER_S)
