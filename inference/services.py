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
from inference.protocol import queue_name
from inference.threads import in_thread
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Engines listen here; a message only says "look at the rows now".
ENGINE_GROUP = "engines"
#: A model that failed to load is not tried again by requests for this long.
FAILED_RETRY = timedelta(seconds=30)
_POLL_S = 0.1
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ModelSituation:
    """How a model stands, as far as its requests care.

    ``incarnations`` are the workers that may hold requests, ``doubtful`` those of
    a machine whose engine does not beat, ``has_worker`` whether one serves or is
    on its way, ``has_room`` whether one takes requests now and nothing waits,
    ``error`` why it cannot be loaded.
    """

    incarnations: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    has_worker: bool = False
    has_room: bool = False
    error: str = ""


def worker_request(*, model: Model) -> Worker:
    """Wish for the model to be loaded; return its worker row. Idempotent.

    A worker that had failed is tried anew, one that drains comes back.
    """
    worker = _wish(model)
    engine_wake()
    return worker


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
    try:
        with transaction.atomic():
            worker, _ = Worker.objects.get_or_create(model=model, replica=0)
    except IntegrityError:
        # Another request created it between our look and our insert.
        worker = Worker.objects.get(model=model, replica=0)
    now = timezone.now()
    Worker.objects.filter(pk=worker.pk, wanted=False).update(
        wanted=True, requested_at=now
    )
    # Conditional, so that of many requests one restarts a failed load.
    Worker.objects.filter(pk=worker.pk, state=WorkerState.FAILED).update(
        state=WorkerState.REQUESTED,
        wanted=True,
        node=None,
        error="",
        failed_at=None,
        progress=0,
        restarts=0,
        requested_at=now,
    )
    worker.refresh_from_db()
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
    worker = Worker.objects.select_related("node").filter(model_id=model_id).first()
    if worker is not None and worker.node is not None and worker.node.is_alive:
        if worker.wanted and worker.state == WorkerState.READY:
            return True
        if worker.wanted and worker.state == WorkerState.LOADING:
            return False
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
    return ModelSituation(
        # Also one that loads: it may be ready, and its row not yet say so.
        incarnations=frozenset(w.incarnation for w in alive if w.incarnation),
        doubtful=frozenset(
            w.incarnation for w in workers if w not in alive and w.incarnation
        ),
        has_worker=bool(coming),
        has_room=any(w.running < (w.n_seq_max or 0) and not w.waiting for w in ready),
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
    worker = Worker.objects.select_related("node").filter(model=model).first()
    if worker is not None and worker.state == WorkerState.READY:
        return worker
    if worker is not None and worker.state == WorkerState.FAILED:
        raise ModelLoadFailed(
            f"The model '{model}' could not be loaded: {worker.error}",
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


async def queue_depth(model_id: int) -> int:
    """Return how many requests wait in a model's queue.

    Raises OSError or redis.exceptions.RedisError.
    """
    layer = channel_layers["queue"]
    key = layer.prefix + queue_name(model_id)
    return int(await layer.connection(0).zcard(key))


async def queue_depths() -> dict[str, int]:
    """Return how many requests wait for each enabled model, by its id.

    Raises OSError or redis.exceptions.RedisError.
    """
    rows = await in_thread(
        lambda: list(Model.objects.servable().values_list("pk", "name"))
    )
    return {name: await queue_depth(pk) for pk, name in rows}
