"""GET /api/tags, /api/ps and /api/version, POST /api/show: Ollama's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.errors import ModelNotAllowed
from accounts.keys.key_access import allowed_model_ids
from accounts.models import Scope
from inference.api.body.unsupported import hints_left_out
from inference.api.errors import BadRequest
from inference.api.model_access import access_of, model_find
from inference.api.ollama.descriptions import (
    ps_schema,
    show_schema,
    tags_schema,
    version_schema,
)
from inference.api.ollama.models import description, listed, loaded
from inference.api.ollama.request import OllamaShowRequest
from inference.api.ollama.view import LATEST, OllamaView
from inference.api.responses import json_response
from inference.models import Worker
from registry.errors import ModelNotFound
from registry.models import Model

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from inference.api.ollama.objects import (
        OllamaDescription,
        OllamaLoadedModels,
        OllamaModels,
    )

#: The version of Ollama whose API these routes follow: clients ask for a least one.
_VERSION = "0.32.8"


class OllamaTagsView(OllamaView):
    """GET /api/tags."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> OllamaModels:
        """Return the models that the key may use, by name."""
        models = Model.objects.servable().files()
        allowed = allowed_model_ids(access_of(request))
        if allowed is not None:
            models = models.filter(pk__in=allowed)
        found = models.prefetch_related("attachments__adapter")
        return {"models": list(listed(found))}

    @tags_schema
    async def get(self, request: Request, models: OllamaModels) -> HttpResponse:
        """List the models."""
        return json_response(models)


class OllamaPsView(OllamaView):
    """GET /api/ps."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> OllamaLoadedModels:
        """Return the models that are loaded and that the key may use."""
        workers = Worker.objects.serving().select_related("model")
        allowed = allowed_model_ids(access_of(request))
        if allowed is not None:
            workers = workers.filter(model_id__in=allowed)
        return {"models": list(loaded(workers))}

    @ps_schema
    async def get(self, request: Request, models: OllamaLoadedModels) -> HttpResponse:
        """List the loaded models."""
        return json_response(models)


class OllamaShowView(OllamaView):
    """POST /api/show."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> OllamaDescription:
        """Return a model. Raises BadRequest, and what model_find raises."""
        body = OllamaShowRequest.parse(request.data)
        name = body.model or body.name
        if name is None:
            raise BadRequest("'model' is required.", param="model")
        self.left_out.add(*hints_left_out(body))
        key = access_of(request)
        try:
            model = model_find(name, key)
        except (ModelNotFound, ModelNotAllowed):
            if not name.endswith(LATEST):
                raise
            model = model_find(name.removesuffix(LATEST), key)
        return description(model)

    @show_schema
    async def post(self, request: Request, model: OllamaDescription) -> HttpResponse:
        """Describe a model."""
        return json_response(model)


class OllamaVersionView(OllamaView):
    """GET /api/version."""

    required_scope = Scope.INFERENCE

    @version_schema
    async def get(self, request: Request, prepared: None) -> HttpResponse:
        """Return the version of Ollama whose API this is."""
        return json_response({"version": _VERSION})
