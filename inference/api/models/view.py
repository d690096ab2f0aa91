"""/v1/models: the models, one of them, getting, loading, unloading and deleting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS

from accounts.keys.key_access import allowed_model_ids
from accounts.models import Scope
from inference import services
from inference.api.downloads.view import pull, pull_prepare, refuse_restricted_key
from inference.api.error_shapes.choice import is_anthropics, shaped_response
from inference.api.errors import BadRequest
from inference.api.model_access import access_of, any_model, key_of, model_find
from inference.api.models.anthropic import anthropic_model, anthropic_page
from inference.api.models.objects import (
    DeletedModel,
    ModelList,
    ModelObject,
    with_adapters,
)
from inference.api.models.request import DeletionQuery, LoadRequest, UnloadRequest
from inference.api.models.response import (
    RELATED,
    deleted_object,
    model_list,
    model_object,
)
from inference.api.openapi.downloads import delete_schema, pull_schema
from inference.api.openapi.operations import (
    load_schema,
    model_list_schema,
    model_schema,
    unload_schema,
)
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.model_deletion import check_own_name, model_delete_files
from inference.status import with_nodes
from llm_manager.lib.threads import in_thread
from registry.errors import ModelNotFound
from registry.load_config import check_load_config
from registry.models import Kind, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from accounts.models import ApiKey
    from inference.api.error_shapes.failure import Failure
    from registry.hub.source import Source


class ModelsView(ApiView):
    """GET and POST /v1/models."""

    @property
    def required_scope(self) -> Scope:
        """The scope that the method needs."""
        return scope_of(self.request)

    def prepare(self, request: Request) -> ModelList | tuple[Source, bool]:
        """Return the models that the key may use, by name, or what a POST asks for.

        Seven queries at most.
        """
        if request.method == "POST":
            return pull_prepare(request)
        models = Model.objects.servable()
        allowed = allowed_model_ids(access_of(request))
        if allowed is not None:
            models = models.filter(pk__in=allowed)
        return model_list(models.prefetch_related(*RELATED, with_nodes()))

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer in the shape of the client's API."""
        return shaped_response(self.request, failure)

    @model_list_schema
    async def get(self, request: Request, models: ModelList) -> HttpResponse:
        """List the models, for Anthropic's clients in that API's shape."""
        if is_anthropics(request):
            return json_response(anthropic_page(models["data"], request.GET.dict()))
        return json_response(models)

    @pull_schema
    async def post(
        self, request: Request, prepared: tuple[Source, bool]
    ) -> HttpResponseBase:
        """Get a model from a hub or an address."""
        return await pull(request, prepared)


class ModelView(ApiView):
    """GET and DELETE /v1/models/{id}; the id may have slashes."""

    http_method_names = ["get", "head", "delete"]

    @property
    def required_scope(self) -> Scope:
        """The scope that the method needs."""
        return scope_of(self.request)

    def prepare(self, request: Request) -> ModelObject | DeletedModel:
        """Return the model, or what a DELETE has deleted.

        Raises what model_find raises, and DeletionRefused.
        """
        if request.method == "DELETE":
            return self._delete(request)
        name = self.kwargs["model_id"]
        found = _current_object(model_find(name, access_of(request)))
        listed = {each["id"]: each for each in with_adapters(found)}
        return listed.get(name, found)

    def _delete(self, request: Request) -> DeletedModel:
        refuse_restricted_key(request)
        key = key_of(request)
        query = DeletionQuery.parse(request.query_params.dict())
        name = self.kwargs["model_id"]
        model = _loadable(any_model(name))
        check_own_name(model, name)
        is_confirmed = query.confirm == "true"
        gone = model_delete_files(
            model=model, by=_name_of(key), is_confirmed=is_confirmed
        )
        return deleted_object(model.name, gone)

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer in the shape of the client's API."""
        return shaped_response(self.request, failure)

    @model_schema
    async def get(self, request: Request, model: ModelObject) -> HttpResponse:
        """Return a model, to Anthropic's clients in that API's shape."""
        if is_anthropics(request):
            return json_response(anthropic_model(model))
        return json_response(model)

    @delete_schema
    async def delete(self, request: Request, deleted: DeletedModel) -> HttpResponse:
        """Delete a model with its files."""
        return json_response(deleted)


class LoadView(ApiView):
    """POST /v1/models/{id}/load."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> tuple[Model, bool]:
        """Request the load; return the model and whether to wait until it is ready.

        Raises BadRequest for settings that the admin would refuse.
        """
        body = LoadRequest.parse(request.data)
        key = key_of(request)
        model = _loadable(model_find(self.kwargs["model_id"], key))
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
        model = _loadable(model_find(self.kwargs["model_id"], key))
        services.worker_release(model=model, by=_name_of(key), is_now=is_now)
        return _current_object(model)

    @unload_schema
    async def post(self, request: Request, model: ModelObject) -> HttpResponse:
        """Unload a model after its running requests, or now."""
        return json_response(model)


def scope_of(request: Request) -> Scope:
    """Return the scope that a request needs: to see models, or to change them."""
    return Scope.INFERENCE if request.method in SAFE_METHODS else Scope.MODELS


def _loadable(model: Model) -> Model:
    """Return a model that has a file. Raises BadRequest."""
    if not model.has_file:
        raise BadRequest(
            f"'{model.name}' has no file here that could be loaded or deleted: it is "
            f"{'a route' if model.kind == Kind.ROUTE else 'a model of an upstream'}. "
            "/v1/admin/upstreams and /v1/admin/routes change these.",
            param="model",
            code="model_without_file",
        )
    return model


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
