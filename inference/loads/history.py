"""Writes down each load of a model: who asked, how long it took, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from inference.models import ModelLoad

if TYPE_CHECKING:
    from inference.models import Worker

#: Loads of a model that are kept. A model that takes turns with others is loaded often.
_KEPT = 50
_Result = ModelLoad.Result


def load_begin(
    worker: Worker, *, node: str, incarnation: str, **facts: Any
) -> ModelLoad:
    """Write that a worker's process is started, with the settings in ``facts``."""
    _settle(worker, incarnation)
    load = _add(worker, node=node, incarnation=incarnation, **facts)
    _prune(worker)
    return load


def load_refused(worker: Worker, *, node: str, error: str) -> None:
    """Write that a worker cannot be started at all."""
    now = timezone.now()
    _settle(worker, "")
    _add(worker, node=node, result=_Result.FAILED, error=error, ended_at=now)
    _prune(worker)


def load_end(
    incarnation: str, result: ModelLoad.Result, *, error: str = "", **facts: Any
) -> None:
    """Write how a load has ended; later ends of the same process say nothing of it."""
    if not incarnation:
        return
    ModelLoad.objects.filter(incarnation=incarnation, result=_Result.LOADING).update(
        result=result, error=error, ended_at=timezone.now(), **facts
    )


def _add(worker: Worker, *, node: str, **columns: Any) -> ModelLoad:
    return ModelLoad.objects.create(
        model_id=worker.model_id,
        replica=worker.replica,
        node_name=node,
        requested_by=worker.requested_by,
        requested_at=worker.requested_at,
        **columns,
    )


def _settle(worker: Worker, incarnation: str) -> None:
    """End earlier loads of the same row whose node did not live to see their end."""
    ModelLoad.objects.filter(
        model_id=worker.model_id, replica=worker.replica, result=_Result.LOADING
    ).exclude(incarnation=incarnation).update(
        result=_Result.INTERRUPTED, ended_at=timezone.now()
    )


def _prune(worker: Worker) -> None:
    loads = ModelLoad.objects.filter(model_id=worker.model_id)
    old = loads.order_by("-pk").values_list("pk", flat=True)[_KEPT : _KEPT + 1]
    for pk in list(old):
        loads.filter(pk__lte=pk).delete()
