"""Wishes and facts about workers: load, unload, how a model stands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.db import IntegrityError, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from inference.errors import EngineUnavailable, ModelLoadFailed
from inference.models import EngineNode, Worker, WorkerState
from inference.transport import queue as request_queue
from inference.transport.messages import queue_name
from llm_manager.lib.threads import in_thread
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Engines listen here; a message only says "look at the rows now".
ENGINE_GROUP = "engines"
#: A model that failed to load is not tried again by requests for this long.
FAILED_RETRY = timedelta(seconds=30)
_POLL_S = 0.1
#: What is read of rows every second.
_HEARTBEAT = "node__heartbeat_at"
_OF_SITUATION = ("incarnation", "state", "wanted", "waiting_by_key", "error")
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ModelSituation:
    """How a model stands, as far as its requests care.

    ``incarnations`` are the workers that may hold requests, ``doubtful`` those of
    a machine whose engine does not beat, ``has_worker`` whether one serves or is
    on its way, ``is_serving`` whether one takes requests now, ``waiting`` how many
    wait in its workers, ``error`` why it cannot be loaded.
    """

    incarnations: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    has_worker: bool = False
    is_serving: bool = False
    waiting: int = 0
    error: str = ""


def worker_request(*, model: Model) -> Worker:
    """Wish for the model to be loaded; return its first worker row. Idempotent.

    It gets as many rows as it is to have replicas. A worker that had failed is
    tried anew, one that drains comes back.
    """
    worker = _wish(model)
    engine_wake()
    return worker


def replicas_adjust(*, model: Model) -> None:
    """Wish for as many workers of a loaded model as it is to have now."""
    if Worker.objects.filter(model=model, wanted=True).exists():
        _wish(model)
        engine_wake()


def models_preload() -> list[Model]:
    """Wish for every model that is to be loaded when an engine starts; return them."""
    models = [
        model
        for model in Model.objects.servable()
        if model.setting_in_force("is_preloaded")
    ]
    for model in models:
        worker_request(model=model)
    return models


def worker_release(*, model: Model) -> int:
    """Wish for the model to be unloaded; return how many workers that concerns.

    Running requests are finished first.
    """
    with transaction.atomic():
        workers = Worker.objects.filter(model=model)
        count = workers.filter(wanted=True).update(wanted=False)
        # Nothing runs behind these rows, so there is nothing to wait for.
        workers.filter(node=None).delete()
        workers.filter(state=WorkerState.FAILED).delete()
    engine_wake()
    return count


def _wish(model: Model) -> Worker:
    """Make the model's rows wishes, one for each replica; return the first."""
    replicas = model.setting_in_force("replicas")
    workers = [_row(model, replica) for replica in range(replicas)]
    rows = Worker.objects.filter(model=model)
    surplus = rows.filter(replica__gte=replicas, wanted=True)
    surplus.filter(node=None).delete()
    surplus.update(wanted=False)
    wished = rows.filter(replica__lt=replicas)
    now = timezone.now()
    wished.filter(wanted=False).update(wanted=True, requested_at=now)
    # Conditional, so that of many requests one restarts a failed load.
    wished.filter(state=WorkerState.FAILED).update(
        state=WorkerState.REQUESTED,
        wanted=True,
        node=None,
        error="",
        failed_at=None,
        progress=0,
        restarts=0,
        requested_at=now,
    )
    workers[0].refresh_from_db()
    return workers[0]


def _row(model: Model, replica: int) -> Worker:
    try:
        with transaction.atomic():
            worker, _ = Worker.objects.get_or_create(model=model, replica=replica)
    except IntegrityError:
        # Another request created it between our look and our insert.
        worker = Worker.objects.get(model=model, replica=replica)
    return worker


def engine_wake() -> None:
    """Tell engines to look at the rows now; they look once a second anyway."""
    async_to_sync(_wake)()


async def _wake() -> None:
    try:
        await channel_layers["default"].group_send(
            ENGINE_GROUP, {"type": "engine.wake"}
        )
    except (OSError, RedisError):
        return


async def ensure_worker(model_id: int) -> bool:
    """See to it that a worker of the model is on its way; return if it serves already.

    Raises EngineUnavailable when no engine runs, ModelLoadFailed when the model
    has just failed to load.
    """
    serves = await in_thread(_ensure, model_id)
    if serves is None:
        await _wake()
    return bool(serves)


def _ensure(model_id: int) -> bool | None:
    """Do ``ensure_worker``'s part in the database; None if the engine is to look."""
    workers = Worker.objects.select_related("node").filter(model_id=model_id)
    workers = workers.only("state", "wanted", "failed_at", "error", _HEARTBEAT)
    alive = [w for w in workers if w.node is not None and w.node.is_alive]
    states = {worker.state for worker in alive if worker.wanted}
    if WorkerState.READY in states:
        return True
    if WorkerState.LOADING in states:
        return False
    for worker in alive:
        _refuse_if_failed(worker)
    if not EngineNode.objects.alive().exists():
        raise _no_engine()
    _wish(Model.objects.get(pk=model_id))
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


def model_situations(model_ids: Iterable[int]) -> dict[int, ModelSituation]:
    """Return how these models stand, by primary key, in one query."""
    rows = Worker.objects.select_related("node", "model").filter(model_id__in=model_ids)
    rows = rows.only(*_OF_SITUATION, "model__name", _HEARTBEAT)
    by_model: dict[int, list[Worker]] = {pk: [] for pk in model_ids}
    for row in rows:
        by_model[row.model_id].append(row)
    return {pk: _situation(workers) for pk, workers in by_model.items()}


def _situation(workers: list[Worker]) -> ModelSituation:
    alive = [w for w in workers if w.node is not None and w.node.is_alive]
    failed = [w for w in alive if w.state == WorkerState.FAILED]
    ready = [w for w in alive if w.state == WorkerState.READY]
    coming = [
        w
        for w in workers
        if w.wanted and (w in alive or w.node is None) and w not in failed
    ]
    if failed and all(w.node is None for w in coming):
        # Further replicas wait for the first one, which does not come.
        coming = []
    return ModelSituation(
        # Also one that loads: it may be ready, and its row not yet say so.
        incarnations=frozenset(w.incarnation for w in alive if w.incarnation),
        doubtful=frozenset(
            w.incarnation for w in workers if w not in alive and w.incarnation
        ),
        has_worker=bool(coming),
        is_serving=any(worker.wanted for worker in ready),
        waiting=sum(each["count"] for w in alive for each in w.waiting_by_key),
        error=(
            f"The model '{failed[0].model}' could not be loaded: {failed[0].error}"
            if failed and not coming
            else ""
        ),
    )


async def worker_wait(model: Model, *, timeout_s: float) -> Worker:
    """Wait until the model is loaded; return its worker.

    Raises ModelLoadFailed with llama.cpp's reason, EngineUnavailable when no
    engine runs or the time is over.
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
    """Return the model's worker if it is ready, None while it may become so.

    Raises as ``worker_wait`` does.
    """
    workers = list(Worker.objects.select_related("node").filter(model=model))
    ready = [worker for worker in workers if worker.state == WorkerState.READY]
    if ready:
        return ready[0]
    failed = [worker for worker in workers if worker.state == WorkerState.FAILED]
    if failed and all(w in failed or w.node is None for w in workers):
        raise ModelLoadFailed(
            f"The model '{model}' could not be loaded: {failed[0].error}",
            retry_after=_RETRY_AFTER_S,
        )
    if not EngineNode.objects.alive().exists():
        raise _no_engine()
    return None


def _no_engine() -> EngineUnavailable:
    return EngineUnavailable(
        "No engine is running: start one with `llm-manager engine`.",
        retry_after=_RETRY_AFTER_S,
    )


def is_served(model: Model) -> bool:
    """Return whether a worker of the model takes requests now, on any machine."""
    return Worker.objects.serving().filter(model=model).exists()


async def queue_depth(model_id: int) -> int:
    """Return how many requests wait in a model's queue.

    Raises OSError or redis.exceptions.RedisError.
    """
    return await request_queue.depth(channel_layers["queue"], queue_name(model_id))


async def queue_depths() -> dict[str, int]:
    """Return how many requests wait for each enabled model, by its id.

    Raises OSError or redis.exceptions.RedisError.
    """
    rows = await in_thread(
        lambda: list(Model.objects.servable().values_list("pk", "name"))
    )
    return {name: await queue_depth(pk) for pk, name in rows}
