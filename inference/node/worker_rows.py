"""The engine's writes to its rows; every function is one short transaction."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least
from django.utils import timezone

from inference.capacity.load_plan import plan_within
from inference.models import HEARTBEAT_EXPIRES, EngineNode, Worker, WorkerState
from inference.transport.messages import queue_name
from inference.worker.pipe import WorkerSpec, plain
from registry.models import Model

if TYPE_CHECKING:
    from datetime import datetime

    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Machine
    from inference.engine.config import EngineConfig
    from inference.worker.pipe import WorkerReport

_MEMORY_SHARE = 0.85
_MIB = 1024 * 1024
#: A machine's rows are free for others after this long without a heartbeat: well
#: beyond what requests take for dead, so that a short stall moves no model.
_ORPHANED_AFTER = 3 * HEARTBEAT_EXPIRES
#: States of rows that have no process.
_ENDED = (WorkerState.REQUESTED, WorkerState.FAILED)
#: What a row says when no process is behind it and any engine may claim it.
_FREED: dict[str, Any] = {
    "node": None,
    "state": WorkerState.REQUESTED,
    "incarnation": "",
    "pid": None,
    "running": 0,
    "waiting": 0,
    "waiting_by_key": [],
    "kv_cells_used": 0,
    "progress": 0,
    "memory_bytes": 0,
}


class NodeTaken(Exception):
    """Another engine runs on this machine with the same database."""


def node_register(machine: Machine | None = None) -> EngineNode:
    """Write this machine's row and take back what an earlier engine left.

    ``machine`` is what llama.cpp finds here. Raises NodeTaken.
    """
    config = settings.CONFIG
    memory = psutil.virtual_memory()
    limit = config.engine.memory_mb * _MIB or int(memory.total * _MEMORY_SHARE)
    now = timezone.now()
    with transaction.atomic():
        old = EngineNode.objects.filter(name=platform.node()).first()
        if old is not None and old.pid != os.getpid() and _is_engine(old.pid):
            raise NodeTaken(
                f"An engine runs on {old.name} already (process {old.pid})."
            )
        node, _ = EngineNode.objects.update_or_create(
            name=platform.node(),
            defaults={
                "pid": os.getpid(),
                "version": _version(),
                "cpu_count": psutil.cpu_count() or 0,
                "memory_total": memory.total,
                "memory_available": memory.available,
                "memory_limit": limit,
                "max_models": config.engine.max_models,
                "hardware": machine.as_json() if machine else {},
                "started_at": now,
                "heartbeat_at": now,
            },
        )
        node_release(node)
    return node


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llm-manager")
    except PackageNotFoundError:
        return "checkout"


def _is_engine(pid: int) -> bool:
    try:
        words = psutil.Process(pid).cmdline()
        return not {"run_engine", "engine"}.isdisjoint(words)
    except psutil.Error:
        return False


def node_release(node: EngineNode) -> None:
    """Give up every row of this node: its processes are gone.

    Wanted ones can be claimed anew, here or elsewhere.
    """
    rows = Worker.objects.filter(node=node)
    rows.filter(is_desired=False).delete()
    rows.exclude(state=WorkerState.FAILED).update(**_FREED)


def node_beat(node: EngineNode) -> None:
    """Say that the engine lives and how much memory is free."""
    EngineNode.objects.filter(pk=node.pk).update(
        heartbeat_at=timezone.now(),
        memory_available=psutil.virtual_memory().available,
    )


def node_stop(node: EngineNode) -> None:
    """Say that the engine is gone: nobody need wait for its heartbeat to age."""
    with transaction.atomic():
        node_release(node)
        EngineNode.objects.filter(pk=node.pk).delete()


def rows_of(node: EngineNode) -> list[Worker]:
    """Return the rows that this node has claimed and those that anyone may claim.

    The latter come in the order in which they were wished for, further replicas
    last. Rows of machines that are gone are among them.
    """
    _adopt_orphans()
    workers = Worker.objects.select_related("model").prefetch_related(
        "model__attachments__adapter"
    )
    return [
        *workers.filter(node=node),
        *workers.filter(
            node=None, is_desired=True, state=WorkerState.REQUESTED
        ).order_by(Least("replica", 1), "requested_at", "replica"),
    ]


def _adopt_orphans() -> None:
    """Free the rows whose machine is gone, or was deleted."""
    long_ago = timezone.now() - _ORPHANED_AFTER
    orphans = Worker.objects.filter(
        Q(node__heartbeat_at__lt=long_ago)
        | Q(node=None) & ~Q(state__in=(WorkerState.REQUESTED, WorkerState.FAILED))
    )
    if orphans.exists():
        orphans.filter(is_desired=False).delete()
        orphans.update(**_FREED)


def claim(worker: Worker, node: EngineNode, plan: LoadPlan, incarnation: str) -> bool:
    """Take a requested row for this node; False if another was faster."""
    claimed = Worker.objects.filter(
        pk=worker.pk, is_desired=True, state=WorkerState.REQUESTED, node=None
    )
    return (
        claimed.update(
            node=node,
            state=WorkerState.LOADING,
            incarnation=incarnation,
            progress=0,
            error="",
            memory_estimate=plan.estimate.resident,
            kv_layout=plan.engine.kv_layout,
            last_used_at=timezone.now(),
        )
        == 1
    )


def save_report(pk: int, incarnation: str, report: WorkerReport, **more: Any) -> None:
    """Write a worker's state and numbers; ``more`` columns win over the report's.

    Like every write of a worker's end, it is for that life of the row alone: an
    engine that was thought dead must not overwrite what another made of the row.
    """
    columns: dict[str, Any] = {
        **plain(report),
        "n_ctx": report.n_ctx or None,
        "n_ctx_max": report.n_ctx_max or None,
        "n_seq_max": report.n_seq_max or None,
        "heartbeat_at": timezone.now(),
        **more,
    }
    # They go elsewhere: see telemetry_store and need_seen.
    del columns["telemetry"], columns["n_ctx_seen"]
    Worker.objects.filter(pk=pk, incarnation=incarnation).update(**columns)


def need_seen(model: Model, n_ctx: int) -> None:
    """Remember with the model the largest need of a request so far, in tokens."""
    less = Q(n_ctx_seen=None) | Q(n_ctx_seen__lt=n_ctx)
    Model.objects.filter(less, pk=model.pk).update(n_ctx_seen=n_ctx)


def unwant(pk: int) -> None:
    """Wish for this worker to go: its memory is needed, or nobody uses it."""
    with transaction.atomic():
        Worker.objects.filter(pk=pk).update(is_desired=False)
        _drop_spares(pk)


def _drop_spares(pk: int) -> None:
    """Forget replicas that wait, if no worker of their model is left to go on."""
    alike = Worker.objects.filter(model__workers=pk)
    if not alike.filter(is_desired=True).exclude(state__in=_ENDED).exists():
        alike.filter(node=None, state=WorkerState.REQUESTED, replica__gt=0).delete()


def worker_ended(pk: int, incarnation: str) -> None:
    """Free a row whose process is gone: deleted, or to be claimed anew if wanted."""
    with transaction.atomic():
        rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
        rows.filter(is_desired=False).delete()
        rows.update(**_FREED)


def worker_crashed(pk: int, incarnation: str) -> None:
    """Free the row of a worker that died in service, to be claimed anew at once."""
    rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
    rows.update(restarts=F("restarts") + 1)
    worker_ended(pk, incarnation)


def worker_failed(pk: int, incarnation: str, error: str) -> None:
    """Mark the row of a worker that is not started again, with the reason."""
    Worker.objects.filter(pk=pk, incarnation=incarnation).update(
        **{
            **_FREED,
            "node": F("node"),
            "state": WorkerState.FAILED,
            "error": error,
            "failed_at": timezone.now(),
        }
    )
    _drop_spares(pk)


def load_refused(
    pk: int, node: EngineNode, request: LoadSpec | None, error: str
) -> bool:
    """Mark a requested row as failed, if no other machine could load it either.

    Without a request none could. Returns whether it was marked.
    """
    others = EngineNode.objects.alive().exclude(pk=node.pk)
    if request and any(plan_within(request, n.machine, n.limits) for n in others):
        return False
    unclaimed = Worker.objects.filter(pk=pk, node=None, state=WorkerState.REQUESTED)
    marked = unclaimed.update(
        node=node, state=WorkerState.FAILED, error=error, failed_at=timezone.now()
    )
    _drop_spares(pk)
    return bool(marked)


def load_waits(pk: int, reason: str) -> None:
    """Say of a row that nobody has claimed what it waits for."""
    Worker.objects.filter(pk=pk, node=None, state=WorkerState.REQUESTED).exclude(
        error=reason
    ).update(error=reason)


def now() -> datetime:
    """Return the time, as rows have it."""
    return timezone.now()


def worker_spec(model: Model, engine: EngineConfig, incarnation: str) -> WorkerSpec:
    """Return what a worker process of this model is told."""
    return WorkerSpec(
        queue=queue_name(model.pk),
        incarnation=incarnation,
        model_name=model.name,
        max_waiting=settings.CONFIG.engine.max_waiting,
        engine=engine,
    )
