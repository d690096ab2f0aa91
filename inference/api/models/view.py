"""GET /v1/models, one model, and loading and unloading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from django.conf import settings
from django.db.models import prefetch_related_objects

from accounts.keys.permissions import allowed_model_ids
from accounts.models import Scope
from inference import services
from inference.api.model_access import key_of, model_find
from inference.api.models.request import LoadRequest, UnloadRequest
from inference.api.openapi.operations import (
    load_schema,
    model_list_schema,
    model_schema,
    unload_schema,
)
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.capacity.model_rows import context_spec
from inference.models import Worker, WorkerState
from inference.status import model_state, with_nodes
from llm_manager.lib.threads import in_thread
from registry.models import Kind, Model, attached_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from rest_framework.request import Request

ModelState = Literal["unloaded", "requested", "loading", "ready", "draining", "failed"]
Capability = Literal["chat", "completion", "infill", "embedding", "reranking"]

#: States of a row as clients know them. A worker whose machine is silent holds
#: nothing that a request could use.
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


#: What is told of a model besides its row.
_RELATED = ("aliases", "attachments__adapter")


class Context(TypedDict):
    """Tokens that one sequence may have: now, once it has grown, by its training.

    ``tested`` is the longest that a test found good.
    """

    in_force: int
    max: int
    trained: int | None
    tested: int | None


class ModelObject(TypedDict):
    """A model: OpenAI's members first, then what it is and how it stands.

    One with an adapter is listed as a model whose ``parent`` is the one without, as
    vLLM does. ``adapters`` are those that a request may name.
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


class ModelsView(ApiView):
    """GET /v1/models."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> ModelList:
        """Return the models that the key may use, by name. Six queries at most."""
        models = Model.objects.servable()
        allowed = allowed_model_ids(key_of(request))
        if allowed is not None:
            models = models.filter(pk__in=allowed)
        rows = models.prefetch_related(*_RELATED, with_nodes())
        found = (model_object(model) for model in rows)
        return {"object": "list", "data": [o for m in found for o in _with_adapters(m)]}

    @model_list_schema
    async def get(self, request: Request, models: ModelList) -> HttpResponse:
        """List the models."""
        return json_response(models)


class ModelView(ApiView):
    """GET /v1/models/{id}; the id may have slashes."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> ModelObject:
        """Return the model. Raises what model_find raises."""
        name = self.kwargs["model_id"]
        found = _told(model_find(name, key_of(request)))
        listed = {each["id"]: each for each in _with_adapters(found)}
        return listed.get(name, found)

    @model_schema
    async def get(self, request: Request, model: ModelObject) -> HttpResponse:
        """Describe a model."""
        return json_response(model)


class LoadView(ApiView):
    """POST /v1/models/{id}/load."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> tuple[Model, bool]:
        """Wish for the model; return it and whether to wait until it is ready."""
        wait = LoadRequest.parse(request.data).wait
        model = model_find(self.kwargs["model_id"], key_of(request))
        services.worker_request(model=model)
        return model, wait

    @load_schema
    async def post(self, request: Request, wish: tuple[Model, bool]) -> HttpResponse:
        """Load a model; answer 200 when it is ready, 202 while it loads."""
        model, wait = wish
        if wait:
            timeout_s = settings.CONFIG.engine.load_timeout
            await services.worker_wait(model, timeout_s=timeout_s)
        answer = await in_thread(_told, model)
        return json_response(answer, status=200 if answer["state"] == "ready" else 202)


class UnloadView(ApiView):
    """POST /v1/models/{id}/unload."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> ModelObject:
        """Wish the model away; return how it stands then."""
        UnloadRequest.parse(request.data)
        model = model_find(self.kwargs["model_id"], key_of(request))
        services.worker_release(model=model)
        return _told(model)

    @unload_schema
    async def post(self, request: Request, model: ModelObject) -> HttpResponse:
        """Unload a model once its running requests are done."""
        return json_response(model)


def _told(model: Model) -> ModelObject:
    """Return a model as it stands now. Raises ModelNotFound.

    Of a row of its own: others share what was found, and the workers that are read
    with a row stay with it.
    """
    return model_object(Model.objects.resolve(model.name))


def _with_adapters(model: ModelObject) -> Iterator[ModelObject]:
    """Yield a model, and what it is with each of its adapters."""
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
    """Return a model as clients see it. Four queries, unless they are prefetched."""
    prefetch_related_objects([model], *_RELATED, with_nodes())
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
        "error": errors[0] if errors and state.name == "failed" else None,
        "context": _context(model, serving),
        "capabilities": _capabilities(model),
        "aliases": [alias.name for alias in model.aliases.all()],
        "size_bytes": model.file_size,
        "quantization": model.quantization,
        "architecture": model.architecture,
    }


def _context(model: Model, serving: Worker | None) -> Context:
    wish = context_spec(model)
    in_force = (serving.n_ctx if serving else None) or wish.at_load
    most = serving.n_ctx_max if serving else wish.ceiling
    return {
        "in_force": in_force,
        "max": max(most or 0, in_force),
        "trained": model.context_length,
        "tested": model.tested_ctx,
    }


def _progress(workers: list[Worker], state: ModelState) -> float:
    if state == "loading":
        return max(worker.progress for worker in workers)
    return 1.0 if state == "ready" else 0.0


def _capabilities(model: Model) -> list[Capability]:
    """Return what the model can be asked for here."""
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
