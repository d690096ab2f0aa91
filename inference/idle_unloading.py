"""When a loaded model is unloaded because no request comes. Only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.models import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.models import Worker
    from inference.status import WorkerSummary
    from registry.models import Model


def keep_alive_of(model: Model) -> int | None:
    """Return the seconds that a model stays after its last request; None: for good."""
    if model.setting_in_force("is_pinned"):
        return None
    keep_alive: int = model.setting_in_force("keep_alive")
    return keep_alive or None


def unload_at(worker: Worker, workers: Iterable[WorkerSummary]) -> float | None:
    """Return when an idle worker is unloaded, in seconds since the epoch.

    ``workers`` has its replicas: they are unloaded together. None while one of them
    has requests or is being loaded, and for a model that stays.
    """
    keep_alive = keep_alive_of(worker.model)
    replicas = [
        each.worker for each in workers if each.worker.model_id == worker.model_id
    ]
    is_idle = all(
        each.state == WorkerState.READY and not each.running and not each.waiting
        for each in replicas
    )
    used = [each.last_used_at for each in replicas if each.last_used_at is not None]
    if keep_alive is None or not is_idle or not used:
        return None
    return max(used).timestamp() + keep_alive
