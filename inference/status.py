"""The state of nodes, workers and models in words, for the admin. Only reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Prefetch
from django.utils import timezone

from accounts.models import ApiKey
from accounts.session_access import session_owner_id
from inference.capacity.model_rows import kv_cache_bytes
from inference.load_progress import LoadProgress
from inference.models import EngineNode, NodeDrain, RpcServer, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.models import PendingOfKey
    from llm_manager.lib.badges import Tone

_TONES: dict[str, Tone] = {
    WorkerState.REQUESTED: "info",
    WorkerState.LOADING: "info",
    WorkerState.READY: "success",
    WorkerState.DRAINING: "warning",
    WorkerState.FAILED: "danger",
}
#: Best first: the best replica decides the state of the model.
_RANK = (
    "ready",
    "loading",
    "requested",
    "unloading",
    "draining",
    "no_heartbeat",
    "failed",
)
#: Leases and heartbeats do not depend on clocks; the times in logs and rows do.
_WRONG_CLOCK_S = 2.0
_IN_MEMORY = (WorkerState.LOADING, WorkerState.READY, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class State:
    """A state with its label and colour; ``percent`` is the progress of loading.

    ``seconds_left`` is how long that may still take, None if it is not known.
    """

    name: str
    label: str
    tone: Tone
    percent: int | None = None
    seconds_left: int | None = None


UNLOADED = State("unloaded", "Unloaded", "")


def worker_state(worker: Worker) -> State:
    """Return the state of a worker, by its row and its node's heartbeat."""
    if worker.state in _IN_MEMORY and (worker.node is None or not worker.node.is_alive):
        return State("no_heartbeat", "No heartbeat", "danger")
    if not worker.is_desired and worker.state != WorkerState.FAILED:
        return State("unloading", "Unloading", "warning")
    tone = _TONES[worker.state]
    if worker.state == WorkerState.LOADING:
        share = min(max(worker.progress, 0), 1)
        percent = round(share * 100)
        # Until it serves, a worker was last used when its load began.
        began = worker.last_used_at or timezone.now()
        elapsed_s = (timezone.now() - began).total_seconds()
        left = LoadProgress.after(elapsed_s, share).seconds_left
        return State("loading", f"Loading {percent} %", tone, percent, left)
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
    return replace(best, label=f"{best.label} {many}")


@dataclass(frozen=True, slots=True)
class WaitingRequests:
    """Requests of one API key that wait: how many, and how long the first has waited.

    ``position`` is the place of the first one in the worker's queue.
    """

    label: str
    count: int
    position: int
    since: datetime


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """A worker as the engine page and the model's page show it."""

    worker: Worker
    state: State
    waiting: tuple[WaitingRequests, ...] = ()

    @property
    def has_context(self) -> bool:
        """Whether it has loaded its model, so that it has numbers to show."""
        in_memory = self.worker.state in (WorkerState.READY, WorkerState.DRAINING)
        return in_memory and self.worker.n_ctx is not None

    @property
    def can_grow(self) -> bool:
        """Whether a sequence may get more context than it has now."""
        return (self.worker.n_ctx_max or 0) > (self.worker.n_ctx or 0)

    @property
    def waits_for(self) -> str:
        """What the worker waits for before it is loaded, or an empty text."""
        is_waiting = self.worker.state == WorkerState.REQUESTED
        return self.worker.error if is_waiting else ""

    @property
    def kv_reserved(self) -> int:
        """Bytes that its KV cache takes when all cells are in use."""
        worker = self.worker
        return kv_cache_bytes(
            worker.model,
            n_cells=worker.kv_cells_total,
            n_seq_max=worker.n_seq_max or 1,
            kv_layout=worker.kv_layout,
        )

    @property
    def kv_used(self) -> int:
        """Bytes of the cells that are in use."""
        total = self.worker.kv_cells_total
        return self.kv_reserved * self.worker.kv_cells_used // total if total else 0

    @property
    def memory(self) -> int:
        """Bytes that it takes, or the estimate before it is loaded."""
        return self.worker.memory_bytes or self.worker.memory_estimate


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node with the memory of its workers, and the RPC servers that it may use.

    ``drain`` is the order that it is drained, if there is one.
    """

    node: EngineNode
    loaded: int
    models_memory: int
    rpc_servers: tuple[RpcServer, ...] = ()
    drain: NodeDrain | None = None
    workers: tuple[Worker, ...] = ()

    @property
    def clock_is_right(self) -> bool:
        """Whether its clock is that of the database, within two seconds."""
        return abs(self.node.clock_offset_s) <= _WRONG_CLOCK_S

    @property
    def memory_used(self) -> int:
        """Bytes in use on the machine, by all programs."""
        return max(self.node.memory_total - self.node.memory_available, 0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All nodes and workers at one moment."""

    nodes: list[NodeView]
    workers: list[WorkerSummary]

    @property
    def ready(self) -> int:
        """Workers that take requests now."""
        return sum(view.state.name == "ready" for view in self.workers)

    @property
    def failed(self) -> int:
        """Workers that failed, or whose node has no heartbeat."""
        return sum(
            view.state.name in ("failed", "no_heartbeat") for view in self.workers
        )

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
        """Models that may be loaded at once on nodes with a heartbeat."""
        return sum(view.node.max_models for view in self.nodes if view.node.is_alive)


def with_nodes() -> Prefetch[str]:
    """Return the prefetch that ``model_state`` needs, for a queryset of models."""
    return Prefetch("workers", Worker.objects.select_related("node"))


def worker_views(workers: Iterable[Worker]) -> list[WorkerSummary]:
    """Return workers with their states.

    One query if requests wait in any of them, two if some are of people without a key.
    """
    rows = list(workers)
    keys = {entry["key"] for worker in rows for entry in worker.waiting_by_key}
    names = _key_names(keys - {None}) if keys else {}
    return [
        WorkerSummary(
            worker,
            worker_state(worker),
            tuple(_waiting(entry, names) for entry in worker.waiting_by_key),
        )
        for worker in rows
    ]


def _key_names(prefixes: Iterable[str]) -> dict[str, str]:
    """Return who is behind prefixes of keys, and those of people's sessions."""
    owners = {prefix: session_owner_id(prefix) for prefix in prefixes}
    keys = ApiKey.objects.filter(prefix__in=owners)
    names = {key.prefix: str(key) for key in keys}
    people = {pk: prefix for prefix, pk in owners.items() if pk is not None}
    if people:
        users = User.objects.filter(pk__in=people)
        names |= {people[user.pk]: f"{user}, without a key" for user in users}
    return names


def _waiting(entry: PendingOfKey, names: dict[str, str]) -> WaitingRequests:
    key = entry["key"]
    if key is None:
        label = "Other keys"
    elif key.startswith("ip:"):
        label = f"{key.removeprefix('ip:')}, without a key"
    else:
        label = names.get(key, f"{key}…")
    since = datetime.fromtimestamp(entry["since"], UTC)
    return WaitingRequests(label, entry["count"], entry["position"], since)


def overview() -> Overview:
    """Return the state of all nodes and workers, in three queries.

    A fourth one reads RPC servers, if the configuration names any.
    """
    workers = worker_views(Worker.objects.select_related("model", "node"))
    drains = {drain.node_name: drain for drain in NodeDrain.objects.all()}
    servers: dict[int, list[RpcServer]] = {}
    if names := settings.CONFIG.rpc.servers:
        for server in RpcServer.objects.filter(address__in=names):
            servers.setdefault(server.node_id, []).append(server)
    nodes = []
    for node in EngineNode.objects.all():
        loaded = [
            view
            for view in workers
            if view.worker.node_id == node.pk and view.worker.state in _IN_MEMORY
        ]
        memory = sum(view.memory for view in loaded)
        nodes.append(
            NodeView(
                node,
                len(loaded),
                memory,
                tuple(servers.get(node.pk, ())),
                drains.get(node.name),
                tuple(view.worker for view in loaded),
            )
        )
    return Overview(nodes, workers)
