"""The answers of the routes below /v1/models, made from database rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import prefetch_related_objects

from inference.api.models.objects import (
    capabilities_of,
    context_of,
    defaults_of,
    with_adapters,
)
from inference.api.models.without_file import (
    RELATED_WITHOUT_FILE,
    object_without_file,
)
from inference.models import Worker, WorkerState
from inference.serving import load_progress
from inference.status import model_state, with_nodes
from llm_manager.lib.file_names import without_folders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.api.models.objects import (
        DeletedModel,
        ModelList,
        ModelObject,
        ModelState,
    )
    from inference.model_deletion import DeletionEffects
    from registry.models import Model

#: The API's names of the serving statuses. A worker whose node sends no heartbeat
#: serves no request.
_STATES: dict[str, ModelState] = {
    "unloaded": "unloaded",
    "no_heartbeat": "unloaded",
    "requested": "requested",
    "loading": "loading",
    "ready": "ready",
    "unloading": "draining",
    "draining": "draining",
    "failed": "failed",
}


#: The related rows that a model's object needs.
RELATED = ("aliases", "attachments__adapter", "context_tests", "projector")


def model_list(models: Iterable[Model]) -> ModelList:
    """Return models, each with its adapters, as a list."""
    rows = list(models)
    without_file = [model for model in rows if not model.has_file]
    prefetch_related_objects(without_file, *RELATED_WITHOUT_FILE)
    found = map(model_object, rows)
    return {"object": "list", "data": [o for m in found for o in with_adapters(m)]}


def model_object(model: Model) -> ModelObject:
    """Return a model's object. Six queries, unless its rows are prefetched."""
    if not model.has_file:
        prefetch_related_objects([model], "aliases", *RELATED_WITHOUT_FILE)
        return object_without_file(model)
    prefetch_related_objects([model], *RELATED, with_nodes())
    workers: list[Worker] = list(model.workers.all())
    state = model_state(workers)
    ready = [worker for worker in workers if worker.state == WorkerState.READY]
    serving = ready[0] if ready and state.name == "ready" else None
    loading = load_progress(workers) if state.name == "loading" else None
    errors = [worker.error for worker in workers if worker.error]
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.found_at.timestamp()),
        "owned_by": "llm-manager",
        "parent": None,
        "adapters": [adapter.name for adapter in model.adapters()],
        "state": _STATES[state.name],
        "progress": loading.share if loading else float(serving is not None),
        "seconds_left": loading.seconds_left if loading else None,
        "error": _reason(errors) if state.name == "failed" else None,
        "context": context_of(
            model,
            serving.n_ctx if serving else None,
            serving.n_ctx_max if serving else None,
        ),
        "capabilities": capabilities_of(model),
        "defaults": defaults_of(model),
        "aliases": [alias.name for alias in model.aliases.all()],
        "size_bytes": model.file_size,
        "quantization": model.quantization,
        "architecture": model.architecture,
    }


def deleted_object(name: str, gone: DeletionEffects) -> DeletedModel:
    """Return the object of a model that was deleted, as OpenAI's of a fine-tune."""
    return {
        "id": name,
        "object": "model",
        "deleted": True,
        "files": [path.name for path in gone.files],
        "size_bytes": gone.size,
        "breaks": list(gone.breaks),
        "kept_on": list(gone.kept_on),
    }


def _reason(errors: list[str]) -> str | None:
    return without_folders(errors[0]) if errors else None
