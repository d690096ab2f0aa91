"""How well models are served, as their workers' rows say. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

from inference.load_progress import LoadProgress
from inference.models import Worker, WorkerState
from inference.stops import stops_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from inference.stops import Stop
    from registry.models import Model

#: When a row's node has last been heard.
HEARTBEAT = "node__heartbeat_at"
# These are read every second.
_STATUS_COLUMNS = (
    *("incarnation", "state", "is_desired", "waiting_by_key", "error"),
    *("progress", "last_used_at"),
)


@dataclass(frozen=True, slots=True)
class ServingStatus:
    """How well a model is served, as far as its requests depend on it.

    ``incarnations``: the workers that may hold requests. ``doubtful``: those on a node
    without a heartbeat. ``has_worker``: one serves or is being loaded. ``is_serving``:
    one takes requests now. ``waiting``: requests that wait in its workers. ``error``:
    why it cannot be loaded. ``stop``: an administrator's order about its requests.
    ``loading``: how far it is loaded, while no worker serves it. ``waits_for``: what
    its first worker waits for before it is loaded.
    """

    incarnations: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    has_worker: bool = False
    is_serving: bool = False
    waiting: int = 0
    error: str = ""
    stop: Stop | None = None
    loading: LoadProgress | None = None
    waits_for: str = ""


def serving_statuses(
    model_ids: Collection[int], heard: frozenset[str] = frozenset()
) -> dict[int, ServingStatus]:
    """Return how well these models are served, by primary key, in two queries.

    ``heard`` are incarnations of workers that answer, whatever their node does.
    """
    rows = Worker.objects.select_related("node", "model").filter(model_id__in=model_ids)
    rows = rows.only(*_STATUS_COLUMNS, "model__name", HEARTBEAT)
    by_model: dict[int, list[Worker]] = {pk: [] for pk in model_ids}
    for row in rows:
        by_model[row.model_id].append(row)
    stops = stops_of(model_ids)
    return {
        pk: _serving_status(workers, heard, stops.get(pk))
        for pk, workers in by_model.items()
    }


def _serving_status(
    workers: list[Worker], heard: frozenset[str], stop: Stop | None
) -> ServingStatus:
    alive = [worker for worker in workers if is_alive(worker, heard)]
    failed = [w for w in alive if w.state == WorkerState.FAILED]
    # A new worker says that it serves before its row does.
    ready = [w for w in alive if w.state == WorkerState.READY or w.incarnation in heard]
    coming = [
        w
        for w in workers
        if w.is_desired and (w in alive or w.node is None) and w not in failed
    ]
    if failed and all(w.node is None for w in coming):
        # Extra replicas wait for the first one, which has failed.
        coming = []
    return ServingStatus(
        # Also one that is loading: it may be ready before its row says so.
        incarnations=frozenset(w.incarnation for w in alive if w.incarnation),
        doubtful=frozenset(
            w.incarnation for w in workers if w not in alive and w.incarnation
        ),
        has_worker=bool(coming),
        is_serving=any(worker.is_desired for worker in ready),
        waiting=sum(each["count"] for w in alive for each in w.waiting_by_key),
        error=(
            f"The model '{failed[0].model}' could not be loaded: {failed[0].error}"
            if failed and not coming
            else ""
        ),
        stop=stop,
        loading=None if ready else load_progress(alive),
        waits_for="" if ready else next((w.error for w in coming if w.error), ""),
    )


def load_progress(workers: Iterable[Worker]) -> LoadProgress | None:
    """Return how far the furthest of a model's workers is loaded, if one is."""
    loading = [w for w in workers if w.state == WorkerState.LOADING and w.is_desired]
    if not loading:
        return None
    furthest = max(loading, key=lambda worker: worker.progress)
    # Until it serves, a worker was last used when its load began.
    began = furthest.last_used_at or timezone.now()
    elapsed_s = (timezone.now() - began).total_seconds()
    return LoadProgress.after(elapsed_s, furthest.progress)


def is_alive(worker: Worker, heard: frozenset[str]) -> bool:
    """Return whether a row's process runs: its node says so, or it does itself."""
    if worker.node is None:
        return False
    return worker.node.is_alive or worker.incarnation in heard


def is_served(model: Model) -> bool:
    """Return whether a worker of the model takes requests now, on any machine."""
    return Worker.objects.serving().filter(model=model).exists()
