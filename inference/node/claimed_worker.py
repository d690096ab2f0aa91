"""A row that this engine has claimed, and its process."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from inference.capacity.eviction import Loaded
from inference.capacity.load_plan import adapter_files
from inference.capacity.placement import Room

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.capacity.eviction import Memory
    from inference.capacity.load_plan import LoadPlan
    from inference.models import EngineNode
    from inference.node.worker_process import WorkerProcess
    from registry.load_settings import LoadSettings
    from registry.models import Model

#: Time in which a loaded model takes the requests that wait for it, before
#: another may take its place; those that run are finished in any case.
SERVES_AT_LEAST_S = 2.0


@dataclass(slots=True)
class Slot:
    """A claimed row and its process; ``rss`` is the process's resident memory."""

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

    @property
    def incarnation(self) -> str:
        """This life of the row."""
        return self.process.spec.incarnation

    @property
    def is_outdated(self) -> bool:
        """Whether the model has other adapters now than it was loaded with."""
        return adapter_files(self.model) != self.plan.engine.adapters

    @property
    def is_fresh(self) -> bool:
        """Whether it has not had the time to serve what it was loaded for."""
        ready_at = self.process.ready_at
        return ready_at is None or time.monotonic() - ready_at < SERVES_AT_LEAST_S

    @property
    def memory(self) -> Memory:
        """Bytes by device: as reckoned; on the host as they are, if that is more."""
        reckoned = self.plan.estimate
        host, *gpus = reckoned.totals
        return (max(host, self.rss - reckoned.stale), *gpus)

    def follow(self, model: Model) -> None:
        """Take over what an administrator has set since: pinned, keep-alive."""
        self.model = model
        with suppress(ValueError):
            self.settings = model.settings_in_force()

    def is_idle(self, keep_alive: float) -> bool:
        """Whether nothing has run here for so many seconds."""
        idle_s = time.monotonic() - self.last_used
        is_ready = self.process.ready_at is not None
        return is_ready and not self.process.report.running and idle_s > keep_alive


def resident_memory(pid: int) -> int:
    """Return the bytes that a process has in memory. Raises psutil.Error."""
    return int(psutil.Process(pid).memory_info().rss)


def room_of(node: EngineNode, slots: Iterable[Slot]) -> Room:
    """Return what a machine has and what its workers take of it."""
    by_model: dict[int, list[Slot]] = {}
    for slot in slots:
        by_model.setdefault(slot.model.pk, []).append(slot)
    return Room(
        machine=node.machine,
        limits=node.limits,
        max_models=node.max_models,
        loaded=[each for alike in by_model.values() for each in _loaded(alike)],
        names={pk: alike[0].model.name for pk, alike in by_model.items()},
    )


def _loaded(alike: Sequence[Slot]) -> Iterable[Loaded]:
    """Yield the workers of one model; all but one are spare.

    The pages of their file are counted once.
    """
    ordered = sorted(alike, key=lambda slot: (slot.process.is_draining, slot.replica))
    for number, slot in enumerate(ordered):
        first = Loaded(
            key=slot.row_id,
            model=slot.model.pk,
            memory=slot.memory,
            last_used=slot.last_used,
            running=slot.process.report.running,
            is_leaving=slot.process.is_draining,
            is_pinned=slot.settings.is_pinned,
            is_fresh=slot.is_fresh,
        )
        if number == 0:
            yield first
        else:
            host, *gpus = slot.memory
            memory = (host - slot.plan.estimate.mapped, *gpus)
            yield replace(first, memory=memory, is_spare=True)
