"""Reads and writes of worker and node rows; each function is a short transaction."""

from __future__ import annotations

import os
import platform
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least
from django.utils import timezone

from inference.capacity.model_rows import memory_limit
from inference.load_differences import load_time_settings
from inference.loads.history import load_begin, load_end, load_refused
from inference.models import (
    EngineNode,
    ModelLoad,
    Worker,
    WorkerState,
)
from inference.node.silence.own_beats import DEAF_AFTER_S
from inference.placing.elsewhere import may_load
from inference.placing.labels import labels_of_machine
from inference.placing.pulls import could_load
from inference.stops import stop_order_of
from inference.transport.queue import queue_name
from inference.worker.node_pipe import WorkerSpec, plain
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES, database_now
from llm_manager.lib.machine.programs import product_version, program_versions
from registry.load_config import apply_load_config
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Machine
    from inference.engine.config.engine_config import EngineConfig
    from inference.worker.node_pipe import WorkerReport

#: Other nodes may claim a node's rows after this long without a heartbeat. Requests
#: give a node up much earlier, so a short stall does not move its models.
_ORPHANED_AFTER = 3 * HEARTBEAT_EXPIRES
#: They may earlier, if the workers are silent, too. A node writes every second.
_SILENT_AFTER = timedelta(seconds=3)
#: Or if they are silent, and their node says that it does not hear Redis either.
_DEAF_AFTER = timedelta(seconds=DEAF_AFTER_S)
#: States of rows without a process.
_ENDED = (WorkerState.REQUESTED, WorkerState.FAILED)
#: The columns of a row without a process, which any node may claim.
_FREED: dict[str, Any] = {
    "node": None,
    "state": WorkerState.REQUESTED,
    "incarnation": "",
    "pid": None,
    "running": 0,
    "waiting": 0,
    "waiting_by_key": [],
    "oldest_wait_s": 0,
    "kv_cells_used": 0,
    "progress": 0,
    "memory_bytes": 0,
}


#: What a heartbeat writes.
_BEAT = ("heartbeat_at", "redis_heard_at", "clock_offset_s", "memory_available")


class NodeTaken(Exception):
    """Another engine process runs on this machine with the same database."""


def node_register(machine: Machine | None = None) -> EngineNode:
    """Write this node's row and free the workers that an earlier process left.

    ``machine`` is what llama.cpp finds here. Raises NodeTaken.
    """
    config = settings.CONFIG
    memory = psutil.virtual_memory()
    now = database_now()
    with transaction.atomic():
        old = EngineNode.objects.filter(name=platform.node()).first()
        if old is not None and old.pid != os.getpid() and _is_engine(old.pid):
            raise NodeTaken(
                f"An engine is already running on {old.name} (process {old.pid})."
            )
        node, _ = EngineNode.objects.update_or_create(
            name=platform.node(),
            defaults={
                "pid": os.getpid(),
                "version": product_version(),
                "cpu_count": psutil.cpu_count() or 0,
                "memory_total": memory.total,
                "memory_available": memory.available,
                "memory_limit": memory_limit(memory.total),
                "max_models": config.engine.max_models,
                "labels": labels_of_machine(
                    config.engine.labels, has_gpus=bool(machine and machine.gpus)
                ),
                "hardware": machine.as_json() if machine else {},
                "programs": program_versions(),
                "files_address": config.nodes.listen,
                "pulls_from": config.nodes.pull_models,
                "pull_mb_per_s": config.nodes.pull_mb_per_s,
                "started_at": now,
                "heartbeat_at": now,
                "redis_heard_at": now,
            },
        )
        node_release(node)
    return node


def _is_engine(pid: int) -> bool:
    try:
        words = psutil.Process(pid).cmdline()
        return not {"run_engine", "engine"}.isdisjoint(words)
    except psutil.Error:
        return False


def node_release(node: EngineNode) -> None:
    """Free all rows of this node, whose processes are gone.

    Desired ones can be claimed again, here or elsewhere.
    """
    rows = Worker.objects.filter(node=node)
    rows.filter(is_desired=False).delete()
    rows.exclude(state=WorkerState.FAILED).update(**_FREED)


def node_beat(node: EngineNode, silent_s: float = 0.0) -> None:
    """Write the heartbeat, the free memory, and how far the clock is off.

    Over Redis the node has heard nothing for ``silent_s`` seconds. A row that others
    have deleted, as it was silent for so long, is written again.
    """
    now = database_now()
    node.heartbeat_at = now
    node.redis_heard_at = now - timedelta(seconds=silent_s)
    node.clock_offset_s = -database_now.offset.total_seconds()
    node.memory_available = psutil.virtual_memory().available
    beat = {name: getattr(node, name) for name in _BEAT}
    if not EngineNode.objects.filter(pk=node.pk).update(**beat):
        node.save(force_insert=True)


def node_stop(node: EngineNode) -> None:
    """Delete the node's row, so that nobody waits for its heartbeat to expire."""
    with transaction.atomic():
        node_release(node)
        EngineNode.objects.filter(pk=node.pk).delete()


def rows_of(
    node: EngineNode,
    silent: Collection[str] = (),
    heard: Collection[str] = (),
) -> list[Worker]:
    """Return the rows that this node has claimed, then those that it may claim.

    The latter come in the order of their requests, extra replicas last. Rows of nodes
    that are gone are among them; ``silent`` and ``heard`` are incarnations of workers
    of other nodes that do not say any more that they serve, and that do. Each row's
    model has the settings of its load.
    """
    _adopt_orphans(node, silent, heard)
    workers = Worker.objects.select_related(
        "model", "model__stop_order", "model__draft_model", "model__projector"
    ).prefetch_related("model__attachments__adapter", "model__context_tests")
    rows = [
        *workers.filter(node=node),
        *workers.filter(
            node=None,
            is_desired=True,
            state=WorkerState.REQUESTED,
            model__is_enabled=True,
        ).order_by(Least("replica", 1), "requested_at", "replica"),
    ]
    for row in rows:
        apply_load_config(row.model, row.load_config)
    return rows


def workers_elsewhere(node: EngineNode) -> dict[str, str]:
    """Return the queues of the workers that serve on other nodes, by incarnation."""
    rows = Worker.objects.filter(state=WorkerState.READY, node__isnull=False)
    found = rows.exclude(node=node).values_list("incarnation", "model")
    return {incarnation: queue_name(model_id) for incarnation, model_id in found}


def other_nodes(node: EngineNode) -> dict[str, list[str]]:
    """Return the labels of the other nodes, which may watch this one's heartbeat."""
    others = EngineNode.objects.exclude(pk=node.pk)
    return dict(others.values_list("name", "labels"))


def _adopt_orphans(
    node: EngineNode, silent: Collection[str], heard: Collection[str]
) -> None:
    """Free the rows whose node is gone, cut off from Redis, or was deleted.

    A node never frees its own: after a pause its heartbeat is old, and its workers run.
    """
    now = database_now()
    is_gone = Q(node__heartbeat_at__lt=now - _ORPHANED_AFTER) & ~Q(
        incarnation__in=heard
    )
    is_silent = Q(node__heartbeat_at__lt=now - _SILENT_AFTER, incarnation__in=silent)
    # This node hears Redis, or nobody would be silent to it.
    is_cut_off = Q(node__redis_heard_at__lt=now - _DEAF_AFTER, incarnation__in=silent)
    orphans = Worker.objects.filter(
        (is_gone | is_silent | is_cut_off) & ~Q(node=node)
        | Q(node=None) & ~Q(state__in=(WorkerState.REQUESTED, WorkerState.FAILED))
    )
    if orphans.exists():
        orphans.filter(is_desired=False).delete()
        orphans.update(**_FREED)


def reclaim(pk: int, node: EngineNode, incarnation: str) -> bool:
    """Take back a row that another node freed, and nobody has claimed since.

    Returns False if it is another's, or no longer desired.
    """
    freed = Worker.objects.filter(
        pk=pk, is_desired=True, state=WorkerState.REQUESTED, node=None
    )
    taken = freed.update(
        node=node, state=WorkerState.LOADING, incarnation=incarnation, error=""
    )
    return taken == 1


def claim(worker: Worker, node: EngineNode, plan: LoadPlan, incarnation: str) -> bool:
    """Claim a requested row for this node; False if another node was faster."""
    order = stop_order_of(worker.model)
    claimed = Worker.objects.filter(
        pk=worker.pk, is_desired=True, state=WorkerState.REQUESTED, node=None
    )
    loaded_settings = load_time_settings(worker.model)
    with transaction.atomic():
        number = claimed.update(
            node=node,
            state=WorkerState.LOADING,
            incarnation=incarnation,
            progress=0,
            error="",
            stop_number=order.number if order is not None else 0,
            memory_estimate=plan.estimate.resident,
            device_memory=list(plan.needs()),
            loaded_settings=loaded_settings,
            kv_layout=plan.engine.kv_layout,
            last_used_at=timezone.now(),
        )
        if number:
            load_begin(
                worker,
                node=node.name,
                incarnation=incarnation,
                settings=loaded_settings,
                n_ctx=plan.engine.n_ctx,
                n_seq_max=plan.engine.n_seq_max,
                memory_estimate=plan.estimate.resident,
            )
    return number == 1


def report_save(pk: int, incarnation: str, report: WorkerReport, **more: Any) -> bool:
    """Write a worker's state and numbers; ``more`` overrides the report's columns.

    Only the row with this incarnation is written: a node that others had given up must
    not overwrite the row of its successor. Returns whether there is one.
    """
    columns: dict[str, Any] = {
        **plain(report),
        "n_ctx": report.n_ctx or None,
        "n_ctx_max": report.n_ctx_max or None,
        "n_seq_max": report.n_seq_max or None,
        "heartbeat_at": database_now(),
        **more,
    }
    # telemetry_store and longest_request_save keep the first two; the watcher acts on
    # the others.
    for name in ("telemetry", "n_ctx_seen", "lost_server", "measured"):
        del columns[name]
    rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
    return bool(rows.update(**columns))


def longest_request_save(model: Model, n_ctx: int) -> None:
    """Save the longest request of a model so far, in tokens."""
    less = Q(n_ctx_seen=None) | Q(n_ctx_seen__lt=n_ctx)
    Model.objects.filter(less, pk=model.pk).update(n_ctx_seen=n_ctx)


def worker_release(pk: int) -> None:
    """Release a worker whose memory is needed, or that nobody uses."""
    with transaction.atomic():
        Worker.objects.filter(pk=pk).update(is_desired=False)
        _drop_extra(pk)


def _drop_extra(pk: int) -> None:
    """Delete requested extra replicas if no worker of their model remains."""
    alike = Worker.objects.filter(model__workers=pk)
    if not alike.filter(is_desired=True).exclude(state__in=_ENDED).exists():
        alike.filter(node=None, state=WorkerState.REQUESTED, replica__gt=0).delete()


def load_done(incarnation: str, seconds: float | None) -> None:
    """Note that a worker is ready, and how long that took."""
    load_end(incarnation, ModelLoad.Result.LOADED, seconds=seconds)


def worker_ended(pk: int, incarnation: str) -> None:
    """Free a row whose process has ended, or delete it if it is not desired."""
    with transaction.atomic():
        # One that was ready has been noted as loaded long since.
        load_end(incarnation, ModelLoad.Result.STOPPED)
        rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
        rows.filter(is_desired=False).delete()
        rows.update(**_FREED)


def worker_crashed(pk: int, incarnation: str) -> None:
    """Free the row of a worker that crashed; it can be claimed again at once."""
    rows = Worker.objects.filter(pk=pk, incarnation=incarnation)
    rows.update(restarts=F("restarts") + 1)
    worker_ended(pk, incarnation)


def worker_failed(pk: int, incarnation: str, error: str) -> None:
    """Mark a worker as failed, with the reason; it is not started again."""
    Worker.objects.filter(pk=pk, incarnation=incarnation).update(
        **{
            **_FREED,
            "node": F("node"),
            "state": WorkerState.FAILED,
            "error": error,
            "failed_at": timezone.now(),
        }
    )
    load_end(incarnation, ModelLoad.Result.FAILED, error=error)
    _drop_extra(pk)


def load_impossible(
    pk: int, node: EngineNode, request: LoadSpec | None, error: str
) -> bool:
    """Mark a requested row as failed, unless another node could load the model.

    Without a spec no node can. Returns whether it was marked.
    """
    if request and _fits_elsewhere(pk, node, request):
        return False
    unclaimed = Worker.objects.filter(pk=pk, node=None, state=WorkerState.REQUESTED)
    marked = unclaimed.update(
        node=node, state=WorkerState.FAILED, error=error, failed_at=timezone.now()
    )
    if marked:
        row = Worker.objects.get(pk=pk)
        load_refused(row, node=node.name, error=error)
    _drop_extra(pk)
    return bool(marked)


def _fits_elsewhere(pk: int, node: EngineNode, request: LoadSpec) -> bool:
    """Whether a node that has the row's files, or may fetch them, could load it."""
    row = Worker.objects.select_related("model").filter(pk=pk).first()
    if row is None:
        return False
    apply_load_config(row.model, row.load_config)
    others = EngineNode.objects.open().exclude(pk=node.pk)
    return any(
        may_load(other, row.model, request) and could_load(other, row.model)
        for other in others
    )


def load_waits(pk: int, reason: str) -> None:
    """Write into a row that nobody has claimed what it waits for."""
    Worker.objects.filter(pk=pk, node=None, state=WorkerState.REQUESTED).exclude(
        error=reason
    ).update(error=reason)


def now() -> datetime:
    """Return the current time, with a time zone."""
    return timezone.now()


def worker_spec(
    row: Worker, node: EngineNode, engine: EngineConfig, incarnation: str
) -> WorkerSpec:
    """Return what the worker process of a row needs to know."""
    model = row.model
    return WorkerSpec(
        queue=queue_name(model.pk),
        incarnation=incarnation,
        model_name=model.name,
        max_waiting=settings.CONFIG.engine.max_waiting,
        engine=engine,
        node=node.name,
        replica=row.replica,
        rpc_secret=settings.CONFIG.rpc.secret if engine.rpc_servers else "",
    )
