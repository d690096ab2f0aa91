"""GET /v1/models, one model, and loading and unloading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.keys.key_access import allowed_model_ids
from accounts.models import Scope
from inference import services
from inference.api.errors import BadRequest
from inference.api.model_access import access_of, key_of, model_find
from inference.api.models.objects import ModelList, ModelObject, with_adapters
from inference.api.models.request import LoadRequest, UnloadRequest
from inference.api.models.response import RELATED, model_list, model_object
from inference.api.openapi.operations import (
    load_schema,
    model_list_schema,
    model_schema,
    unload_schema,
)
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.status import with_nodes
from llm_manager.lib.threads import in_thread
from registry.errors import ModelNotFound
from registry.load_config import check_load_config
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse
    from rest_framework.request import Request

    from accounts.models import ApiKey


class ModelsView(ApiView):
    """GET /v1/models."""

    required_scope = Scope.INFERENCE

    def prepare(self, request: Request) -> ModelList:
        """Return the models that the key may use, by name. Seven queries at most."""
        models = Model.objects.servable()
        allowed = allowed_model_ids(access_of(request))
        if allowed is not None:
            models = models.filter(pk__in=allowed)
        return model_list(models.prefetch_related(*RELATED, with_nodes()))

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
        found = _current_object(model_find(name, access_of(request)))
        listed = {each["id"]: each for each in with_adapters(found)}
        return listed.get(name, found)

    @model_schema
    async def get(self, request: Request, model: ModelObject) -> HttpResponse:
        """Return a model."""
        return json_response(model)


class LoadView(ApiView):
    """POST /v1/models/{id}/load."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> tuple[Model, bool]:
        """Request the load; return the model and whether to wait until it is ready.

        Raises BadRequest for settings that the admin would refuse.
        """
        body = LoadRequest.parse(request.data)
        key = key_of(request)
        model = model_find(self.kwargs["model_id"], key)
        if body.config is None:
            services.worker_request(model=model)
        else:
            config = body.config.given()
            _check(model, config, key)
            services.worker_load(model=model, config=config, by=_name_of(key))
        return model, body.wait

    @load_schema
    async def post(
        self, request: Request, prepared: tuple[Model, bool]
    ) -> HttpResponse:
        """Load a model. The status is 200 when it is ready, 202 while it loads."""
        model, wait = prepared
        if wait:
            timeout_s = settings.CONFIG.engine.load_timeout
            await services.worker_wait(model, timeout_s=timeout_s)
        answer = await in_thread(_current_object, model)
        return json_response(answer, status=200 if answer["state"] == "ready" else 202)


class UnloadView(ApiView):
    """POST /v1/models/{id}/unload."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> ModelObject:
        """Request the unload; return the model's state after that."""
        is_now = UnloadRequest.parse(request.data).now
        key = key_of(request)
        model = model_find(self.kwargs["model_id"], key)
        services.worker_release(model=model, by=_name_of(key), is_now=is_now)
        return _current_object(model)

    @unload_schema
    async def post(self, request: Request, model: ModelObject) -> HttpResponse:
        """Unload a model after its running requests, or now."""
        return json_response(model)


def _name_of(key: ApiKey | None) -> str:
    return "" if key is None else f"the API key '{key.name}'"


def _check(model: Model, config: Mapping[str, Any], key: ApiKey | None) -> None:
    """Check the settings of a load. Raises BadRequest, or ModelNotAllowed."""
    try:
        if "draft_model" in config:
            model_find(config["draft_model"], key)
        check_load_config(model, config)
    except ModelNotFound as error:
        raise BadRequest(str(error), param="config.draft_model") from None
    except ValidationError as error:
        name, reasons = next(iter(error.message_dict.items()))
        raise BadRequest(
            f"'config.{name}' cannot be used: {reasons[0]}", param=f"config.{name}"
        ) from None


def _current_object(model: Model) -> ModelObject:
    """Return a model's current state. Raises ModelNotFound.

    The row is read again, because prefetched workers stay with a row, and requests
    share the rows that were found by name.
    """
    return model_object(Model.objects.resolve(model.name))
