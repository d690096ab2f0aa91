"""A worker of this node: a row that it has claimed, with the process behind it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psutil

from inference.capacity.eviction import LoadedWorker
from inference.capacity.model_rows import adapter_files
from inference.capacity.placement import NodeCapacity
from inference.node.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.capacity.eviction import Memory
    from inference.capacity.load_plan import LoadPlan
    from inference.models import EngineNode
    from inference.node.children.worker_process import WorkerProcess
    from registry.load_settings import LoadSettings
    from registry.models import Model

#: A model serves for at least this long before another one may evict it, so that it
#: takes the requests that wait for it. Running requests are finished in any case.
SERVES_AT_LEAST_S = 2.0
#: A model without requests whose keep-alive ends this soon is looked at every second.
_LOOK_BEFORE_S = 10.0
#: An idle worker reports every eight seconds.
_SPEAKS_WITHIN_S = 12.0


@dataclass(slots=True)
class ClaimedWorker:
    """A claimed row and its process; ``rss`` is the resident memory in bytes.

    ``earlier`` are the totals of the workers before it.
    """

    row_id: int
    replica: int
    model: Model
    settings: LoadSettings
    plan: LoadPlan
    process: WorkerProcess
    last_used: float
    last_requests: int = 0
    rss: int = 0
    is_saved_ready: bool = False
    earlier: Totals = field(default_factory=Totals)
    saved_totals: Totals | None = None

    @property
    def totals(self) -> Totals:
        """What it and the workers before it have served."""
        return self.earlier.plus(self.process.report)

    @property
    def incarnation(self) -> str:
        """The id of this run of the process."""
        return self.process.spec.incarnation

    @property
    def is_outdated(self) -> bool:
        """Whether the model has another file or other adapters than at its load."""
        loaded = self.plan.engine
        return (loaded.fingerprint, loaded.adapters) != (
            self.model.fingerprint,
            adapter_files(self.model),
        )

    @property
    def is_just_loaded(self) -> bool:
        """Whether it has not had time to serve the requests that it was loaded for."""
        ready_at = self.process.ready_at
        return ready_at is None or time.monotonic() - ready_at < SERVES_AT_LEAST_S

    @property
    def memory(self) -> Memory:
        """Bytes by device: the estimate, or the host's real use if that is more."""
        estimate = self.plan.estimate
        host, *gpus = self.plan.needs()
        return (max(host, self.rss - estimate.stale), *gpus)

    @property
    def is_busy(self) -> bool:
        """Whether it has requests."""
        return bool(self.process.report.running + self.process.report.waiting)

    @property
    def is_steady(self) -> bool:
        """Whether it serves, and will not be unloaded soon or end otherwise."""
        report, keep_alive = self.process.report, self.settings.keep_alive
        idle_s = time.monotonic() - self.last_used
        return (
            report.state == "ready"
            and self.process.silent_s < _SPEAKS_WITHIN_S
            and self.is_saved_ready
            and not self.process.is_draining
            and (self.is_busy or not keep_alive or idle_s < keep_alive - _LOOK_BEFORE_S)
        )

    def follow(self, model: Model) -> None:
        """Take over settings that may change while loaded: pinned, keep-alive."""
        self.model = model
        with suppress(ValueError):
            self.settings = model.settings_in_force()

    def is_idle(self, keep_alive: float) -> bool:
        """Return whether nothing has run for ``keep_alive`` seconds."""
        idle_s = time.monotonic() - self.last_used
        is_ready = self.process.ready_at is not None
        return is_ready and not self.process.report.running and idle_s > keep_alive


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process in bytes. Raises psutil.Error."""
    return int(psutil.Process(pid).memory_info().rss)


def replicas_of(
    worker: ClaimedWorker, workers: Iterable[ClaimedWorker]
) -> list[ClaimedWorker]:
    """Return the workers of the same model, the first replica first."""
    same = (each for each in workers if each.model.pk == worker.model.pk)
    return sorted(same, key=lambda each: each.replica)


def counted_memory(worker: ClaimedWorker, alike: Sequence[ClaimedWorker]) -> list[int]:
    """Return the bytes by device that count against the node's limits for a worker."""
    return next(
        list(each.memory) for each in _loaded(alike) if each.key == worker.row_id
    )


def node_capacity(node: EngineNode, workers: Iterable[ClaimedWorker]) -> NodeCapacity:
    """Return what a node has for models, and what its workers take of it."""
    by_model: dict[int, list[ClaimedWorker]] = {}
    for worker in workers:
        by_model.setdefault(worker.model.pk, []).append(worker)
    return NodeCapacity(
        machine=node.machine,
        limits=node.limits,
        max_models=node.max_models,
        loaded=[each for alike in by_model.values() for each in _loaded(alike)],
        names={pk: alike[0].model.name for pk, alike in by_model.items()},
    )


def _loaded(alike: Sequence[ClaimedWorker]) -> Iterable[LoadedWorker]:
    """Yield the workers of one model; all but the first are extra.

    The pages of their file count once, with the first.
    """
    ordered = sorted(
        alike, key=lambda worker: (worker.process.is_draining, worker.replica)
    )
    for number, worker in enumerate(ordered):
        first = LoadedWorker(
            key=worker.row_id,
            model=worker.model.pk,
            memory=worker.memory,
            last_used=worker.last_used,
            running=worker.process.report.running,
            is_draining=worker.process.is_draining,
            is_pinned=worker.settings.is_pinned,
            is_just_loaded=worker.is_just_loaded,
            servers=frozenset(worker.plan.engine.rpc_servers),
        )
        if number == 0:
            yield first
        else:
            host, *gpus = worker.memory
            memory = (host - worker.plan.estimate.mapped, *gpus)
            yield replace(first, memory=memory, is_extra=True)
