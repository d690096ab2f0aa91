"""The engine's writes to its rows; every function is one short transaction."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from inference.engine.config import EngineConfig
from inference.models import HEARTBEAT_EXPIRES, EngineNode, Worker, WorkerState
from inference.protocol import queue_name
from inference.sizing import ModelShape, memory_needed, sequences_that_fit
from inference.worker_messages import WorkerSpec

if TYPE_CHECKING:
    from datetime import datetime

    from inference.worker_messages import WorkerReport
    from registry.models import Model

_MEMORY_SHARE = 0.85
_MIB = 1024 * 1024
#: A machine's rows are free for others after this long without a heartbeat: well
#: beyond what requests take for dead, so that a short stall moves no model.
_ORPHANED_AFTER = 3 * HEARTBEAT_EXPIRES
#: What a row says when no process is behind it and any engine may claim it.
_FREED: dict[str, Any] = {
    "node": None,
    "state": WorkerState.REQUESTED,
    "incarnation": "",
    "pid": None,
    "running": 0,
    "waiting": 0,
    "kv_cells_used": 0,
    "progress": 0,
    "memory_bytes": 0,
}


class NodeTaken(Exception):
    """Another engine runs on this machine with the same database."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How a model is to be loaded here and the bytes that it will take."""

    engine: EngineConfig
    memory: int


def node_register() -> EngineNode:
    """Write this machine's row and take back what an earlier engine left.

    Raises NodeTaken.
    """
    config = settings.CONFIG
    memory = psutil.virtual_memory()
    limit = config["engine.memory_mb"] * _MIB or int(memory.total * _MEMORY_SHARE)
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
                "max_models": config["engine.max_models"],
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
    rows.filter(wanted=False).delete()
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

    The latter come in the order in which they were wished for. Rows of machines
    that are gone are among them.
    """
    _adopt_orphans()
    return [
        *Worker.objects.filter(node=node).select_related("model"),
        *Worker.objects.filter(node=None, wanted=True, state=WorkerState.REQUESTED)
        .select_related("model")
        .order_by("requested_at"),
    ]


def _adopt_orphans() -> None:
    """Free the rows whose machine is gone, or was deleted."""
    long_ago = timezone.now() - _ORPHANED_AFTER
    orphans = Worker.objects.filter(
        Q(node__heartbeat_at__lt=long_ago)
        | Q(node=None) & ~Q(state__in=(WorkerState.REQUESTED, WorkerState.FAILED))
    )
    if orphans.exists():
        orphans.filter(wanted=False).delete()
        orphans.update(**_FREED)


def claim(worker: Worker, node: EngineNode, plan: LoadPlan, incarnation: str) -> bool:
    """Take a requested row for this node; False if another was faster."""
    claimed = Worker.objects.filter(
        pk=worker.pk, wanted=True, state=WorkerState.REQUESTED, node=None
    )
    return (
        claimed.update(
            node=node,
            state=WorkerState.LOADING,
            incarnation=incarnation,
            progress=0,
            error="",
            memory_estimate=plan.memory,
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
        **asdict(report),
        "n_ctx": report.n_ctx or None,
        "n_seq_max": report.n_seq_max or None,
        "heartbeat_at": timezone.now(),
        **more,
    }
    Worker.objects.filter(pk=pk, incarnation=incarnation).update(**columns)


def unwant(pk: int) -> None:
    """Wish for this worker to go: its memory is needed, or nobody uses it."""
    Worker.objects.filter(pk=pk).update(wanted=False)


def worker_ended(pk: int, incarnation: str) -> None:
    """Free a row whose process is gone: deleted, or to be claimed anew if wanted."""
    with transaction.atomic():
        rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
        rows.filter(wanted=False).delete()
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


def load_refused(pk: int, node: EngineNode, needed: int, error: str) -> bool:
    """Mark a requested row as failed, if no other machine could load it either.

    Returns whether it was marked.
    """
    if EngineNode.objects.alive().filter(memory_limit__gte=needed).exists():
        return False
    unclaimed = Worker.objects.filter(pk=pk, node=None, state=WorkerState.REQUESTED)
    marked = unclaimed.update(
        node=node, state=WorkerState.FAILED, error=error, failed_at=timezone.now()
    )
    return bool(marked)


def now() -> datetime:
    """Return the time, as rows have it."""
    return timezone.now()


def load_plan(model: Model) -> LoadPlan:
    """Return how this model is to be loaded, by its row and the configuration."""
    config = settings.CONFIG
    n_ctx = model.context_in_force(config["models.default_ctx"])
    kv_cache_type = model.kv_cache_type or config["gpu.kv_cache_type"]
    shape = ModelShape(
        file_size=model.file_size,
        kv_elements_per_token=model.kv_elements_per_token or 0,
        n_embd=model.embedding_length or 0,
        n_vocab=model.vocab_size or 0,
    )
    n_seq_max = model.n_seq_max or sequences_that_fit(
        shape,
        n_ctx=n_ctx,
        kv_cache_type=kv_cache_type,
        budget=config["engine.kv_memory_mb"] * _MIB,
        maximum=config["engine.n_seq_max"],
    )
    n_gpu_layers = model.n_gpu_layers
    engine = EngineConfig(
        paths=tuple(str(path) for path in model.paths),
        n_ctx=n_ctx,
        n_seq_max=n_seq_max,
        # A step has room for a token of every sequence.
        n_batch=max(config["engine.n_batch"], n_seq_max),
        n_gpu_layers=(
            config["gpu.n_gpu_layers"] if n_gpu_layers is None else n_gpu_layers
        ),
        n_threads=model.n_threads or config["engine.n_threads"],
        kv_cache_type=kv_cache_type,
        flash_attention=model.flash_attention or config["gpu.flash_attention"],
    )
    memory = memory_needed(
        shape,
        n_ctx=n_ctx,
        n_seq_max=n_seq_max,
        n_batch=engine.n_batch,
        kv_cache_type=kv_cache_type,
    )
    return LoadPlan(engine, memory)


def worker_spec(model: Model, engine: EngineConfig, incarnation: str) -> WorkerSpec:
    """Return what a worker process of this model is told."""
    return WorkerSpec(
        queue=queue_name(model.pk),
        incarnation=incarnation,
        model_name=model.name,
        engine=engine,
    )
