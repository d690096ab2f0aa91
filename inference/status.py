"""What the engines do now, put into words for the admin. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db.models import Prefetch

from accounts.models import ApiKey
from inference.models import EngineNode, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.worker.pending import KeyBacklog
    from llm_manager.lib.badges import Tone

_TONES: dict[str, Tone] = {
    WorkerState.REQUESTED: "info",
    WorkerState.LOADING: "info",
    WorkerState.READY: "success",
    WorkerState.DRAINING: "warning",
    WorkerState.FAILED: "danger",
}
#: Of several replicas the one that serves best speaks for the model.
_RANK = ("ready", "loading", "requested", "unloading", "draining", "lost", "failed")
_IN_MEMORY = (WorkerState.LOADING, WorkerState.READY, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class State:
    """A state with its label and tone; ``percent`` is of loading."""

    name: str
    label: str
    tone: Tone
    percent: int | None = None


UNLOADED = State("unloaded", "Unloaded", "")


def worker_state(worker: Worker) -> State:
    """Return the state of a worker as its row and its node's heartbeat tell it."""
    if worker.state in _IN_MEMORY and (worker.node is None or not worker.node.is_alive):
        return State("lost", "No heartbeat", "danger")
    if not worker.wanted and worker.state != WorkerState.FAILED:
        return State("unloading", "Unloading", "warning")
    tone = _TONES[worker.state]
    if worker.state == WorkerState.LOADING:
        percent = round(min(max(worker.progress, 0), 1) * 100)
        return State("loading", f"Loading {percent} %", tone, percent)
    return State(worker.state, WorkerState(worker.state).label, tone)


def model_state(workers: Iterable[Worker]) -> State:
    """Return the state of a model, given its workers with their nodes."""
    states = sorted(map(worker_state, workers), key=lambda s: _RANK.index(s.name))
    if not states:
        return UNLOADED
    best = states[0]
    alike = sum(state.name == best.name for state in states)
    if len(states) == 1:
        return best
    many = f"\u00d7{alike}" if alike == len(states) else f"{alike} of {len(states)}"
    return State(best.name, f"{best.label} {many}", best.tone, best.percent)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one API key: how many, where the first is in line, since when."""

    label: str
    count: int
    position: int
    since: datetime


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker as the engine page and a model's page show it."""

    worker: Worker
    state: State
    waiting: tuple[Waiting, ...] = ()

    @property
    def has_context(self) -> bool:
        """Whether it has got so far that there is something to measure."""
        in_memory = self.worker.state in (WorkerState.READY, WorkerState.DRAINING)
        return in_memory and self.worker.n_ctx is not None

    @property
    def can_grow(self) -> bool:
        """Whether a sequence may get more context than it has now."""
        return (self.worker.n_ctx_max or 0) > (self.worker.n_ctx or 0)

    @property
    def waits_for(self) -> str:
        """Why nothing is done about it now, if that may take longer."""
        is_waiting = self.worker.state == WorkerState.REQUESTED
        return self.worker.error if is_waiting else ""

    @property
    def memory(self) -> int:
        """Bytes that it takes, or is reckoned to take."""
        return self.worker.memory_bytes or self.worker.memory_estimate


@dataclass(frozen=True, slots=True)
class NodeView:
    """One machine with what its workers take."""

    node: EngineNode
    loaded: int
    models_memory: int

    @property
    def memory_used(self) -> int:
        """Bytes in use on the machine, by whatever program."""
        return max(self.node.memory_total - self.node.memory_available, 0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All machines and workers at one moment."""

    nodes: list[NodeView]
    workers: list[WorkerView]

    @property
    def ready(self) -> int:
        """Workers that take requests now."""
        return sum(view.state.name == "ready" for view in self.workers)

    @property
    def failed(self) -> int:
        """Workers that stopped with an error or without a word."""
        return sum(view.state.name in ("failed", "lost") for view in self.workers)

    @property
    def running(self) -> int:
        """Requests that run now."""
        return sum(view.worker.running for view in self.workers)

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return sum(view.worker.waiting for view in self.workers)

    @property
    def capacity(self) -> int:
        """Models that the living machines may have loaded at once."""
        return sum(view.node.max_models for view in self.nodes if view.node.is_alive)


def with_nodes() -> Prefetch[str]:
    """Return the prefetch that ``model_state`` needs, for a queryset of models."""
    return Prefetch("workers", Worker.objects.select_related("node"))


def worker_views(workers: Iterable[Worker]) -> list[WorkerView]:
    """Return workers with their states; one query if any has requests that wait."""
    rows = list(workers)
    keys = {entry["key"] for worker in rows for entry in worker.waiting_by_key}
    names = _key_names(keys - {None}) if keys else {}
    return [
        WorkerView(
            worker,
            worker_state(worker),
            tuple(_waiting(entry, names) for entry in worker.waiting_by_key),
        )
        for worker in rows
    ]


def _key_names(prefixes: Iterable[str]) -> dict[str, str]:
    return {key.prefix: str(key) for key in ApiKey.objects.filter(prefix__in=prefixes)}


def _waiting(entry: KeyBacklog, names: dict[str, str]) -> Waiting:
    key = entry["key"]
    if key is None:
        label = "Other keys"
    elif key.startswith("ip:"):
        label = f"{key.removeprefix('ip:')}, without a key"
    else:
        label = names.get(key, f"{key}…")
    since = datetime.fromtimestamp(entry["since"], UTC)
    return Waiting(label, entry["count"], entry["position"], since)


def overview() -> Overview:
    """Return what all engines do now, in two queries."""
    workers = worker_views(Worker.objects.select_related("model", "node"))
    nodes = []
    for node in EngineNode.objects.all():
        held = [
            view
            for view in workers
            if view.worker.node_id == node.pk and view.worker.state in _IN_MEMORY
        ]
        memory = sum(view.memory for view in held)
        nodes.append(NodeView(node, len(held), memory))
    return Overview(nodes, workers)
