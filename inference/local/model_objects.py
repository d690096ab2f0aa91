"""Describes a model to a program, in the object of GET /v1/models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.models.objects import capabilities_of, context_of, defaults_of
from inference.local.loaded_models import LoadedModel
from llm_manager.config.in_force import using

if TYPE_CHECKING:
    from inference.api.models.objects import ModelObject, ModelState
    from inference.local.model import LocalModel
    from llm_manager.config.schema import Config

#: Nanoseconds in a second.
_NS = 1_000_000_000


def model_object(found: LoadedModel | LocalModel, config: Config) -> ModelObject:
    """Return a model's object."""
    state: ModelState = "unloaded"
    n_ctx = n_ctx_max = 0
    if isinstance(found, LoadedModel):
        report, model = found.worker.report, found.model
        state = "ready" if found.worker.is_alive else "failed"
        if state == "ready":
            n_ctx, n_ctx_max = report.n_ctx, report.n_ctx_max
    else:
        model = found
    with using(config):
        context = context_of(model, n_ctx, n_ctx_max)
        defaults = defaults_of(model)
    return {
        "id": model.name,
        "object": "model",
        "created": model.read.files.mtime_ns // _NS,
        "owned_by": "llm-manager",
        "parent": None,
        "adapters": [adapter.name for adapter in model.adapters()],
        "state": state,
        "progress": 1.0 if state == "ready" else 0.0,
        "seconds_left": None,
        "error": None,
        "context": context,
        "capabilities": capabilities_of(model),
        "defaults": defaults,
        "aliases": [],
        "size_bytes": model.file_size,
        "quantization": model.quantization,
        "architecture": model.architecture,
    }
