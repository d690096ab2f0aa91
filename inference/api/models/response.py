"""The answers of the routes below /v1/models, made from database rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from django.db.models import prefetch_related_objects

from inference.capacity.model_rows import context_spec
from inference.models import Worker, WorkerState
from inference.status import model_state, with_nodes
from llm_manager.lib.file_names import without_folders
from registry.models import Kind, Model, attached_name, result_in_force

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ModelState = Literal["unloaded", "requested", "loading", "ready", "draining", "failed"]
Capability = Literal["chat", "completion", "infill", "embedding", "reranking"]

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
RELATED = ("aliases", "attachments__adapter", "context_tests")


class Context(TypedDict):
    """The largest context of one sequence in tokens: now, after growing, by training.

    ``tested`` is the largest that passed a context test with the settings in force.
    """

    in_force: int
    max: int
    trained: int | None
    tested: int | None


class ModelObject(TypedDict):
    """A model: OpenAI's members first, then what it is and its state.

    As in vLLM, a model with a LoRA adapter is listed as a model of its own, whose
    ``parent`` is the one without. ``adapters`` are those that a request may name.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    parent: str | None
    adapters: list[str]
    state: ModelState
    progress: float
    error: str | None
    context: Context
    capabilities: list[Capability]
    aliases: list[str]
    size_bytes: int
    quantization: str
    architecture: str


class ModelList(TypedDict):
    """The models that the key may use."""

    object: Literal["list"]
    data: list[ModelObject]


def model_list(models: Iterable[Model]) -> ModelList:
    """Return models, each with its adapters, as a list."""
    found = (model_object(model) for model in models)
    return {"object": "list", "data": [o for m in found for o in with_adapters(m)]}


def with_adapters(model: ModelObject) -> Iterator[ModelObject]:
    """Yield a model's object, and one for it with each of its adapters."""
    yield model
    for adapter in model["adapters"]:
        name = attached_name(model["id"], adapter)
        yield {
            **model,
            "id": name,
            "parent": model["id"],
            "adapters": [],
            "aliases": [],
        }


def model_object(model: Model) -> ModelObject:
    """Return a model's object. Five queries, unless its rows are prefetched."""
    prefetch_related_objects([model], *RELATED, with_nodes())
    workers: list[Worker] = list(model.workers.all())
    state = model_state(workers)
    ready = [worker for worker in workers if worker.state == WorkerState.READY]
    serving = ready[0] if ready and state.name == "ready" else None
    errors = [worker.error for worker in workers if worker.error]
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.found_at.timestamp()),
        "owned_by": "llm-manager",
        "parent": None,
        "adapters": [adapter.name for adapter in model.adapters()],
        "state": _STATES[state.name],
        "progress": _progress(workers, _STATES[state.name]),
        "error": _reason(errors) if state.name == "failed" else None,
        "context": _context(model, serving),
        "capabilities": _capabilities(model),
        "aliases": [alias.name for alias in model.aliases.all()],
        "size_bytes": model.file_size,
        "quantization": model.quantization,
        "architecture": model.architecture,
    }


def _context(model: Model, serving: Worker | None) -> Context:
    spec = context_spec(model)
    result = result_in_force(model)
    in_force = (serving.n_ctx if serving else None) or spec.at_load
    most = serving.n_ctx_max if serving else spec.ceiling
    return {
        "in_force": in_force,
        "max": max(most or 0, in_force),
        "trained": model.context_length,
        "tested": result.tested_ctx if result else None,
    }


def _progress(workers: list[Worker], state: ModelState) -> float:
    if state == "loading":
        return max(worker.progress for worker in workers)
    return 1.0 if state == "ready" else 0.0


def _capabilities(model: Model) -> list[Capability]:
    """Return what the API can do with the model."""
    match model.kind:
        case Kind.EMBEDDING:
            return ["embedding"]
        case Kind.RERANKER:
            return ["reranking"]
    able: dict[Capability, bool] = {
        "chat": bool(model.template_in_force()),
        "completion": True,
        "infill": model.supports_infill,
    }
    return [name for name, is_able in able.items() if is_able]


def _reason(errors: list[str]) -> str | None:
    return without_folders(errors[0]) if errors else None
