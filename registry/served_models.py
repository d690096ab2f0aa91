"""The models that requests name, cached for one second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models.signals import post_delete, post_save

from llm_manager.lib.row_cache import RowCache
from registry.errors import ModelNotFound, ModelNotServed
from registry.models import (
    Alias,
    Attachment,
    ContextTest,
    FileState,
    Model,
    Route,
    RouteTarget,
    Upstream,
    UpstreamModel,
)

if TYPE_CHECKING:
    from registry.models.model import ModelQuerySet


def _read(name: str) -> Model:
    try:
        return _servable().resolve(name)
    except ModelNotFound:
        _refuse_part(name)
        raise


def _refuse_part(name: str) -> None:
    """Raise ModelNotServed if the name is that of a file which answers no requests."""
    found = Model.objects.filter(is_enabled=True, state=FileState.FOUND)
    try:
        model = found.resolve(name)
    except ModelNotFound:
        return
    if model.why_not_served:
        raise ModelNotServed(
            f"The model '{model.name}' answers no requests. {model.why_not_served} "
            "GET /v1/models lists the models."
        )


def _read_by_wildcard(name: str) -> Model:
    return _servable().by_wildcard(name)


def _servable() -> ModelQuerySet:
    """Return the models that a request may name, with what decides what it may ask.

    How long a prompt may be depends on what was tested, images on the projector; where
    a request goes, on the upstream or on the route's targets.
    """
    models = Model.objects.servable()
    return models.select_related(
        "projector", "upstreammodel__upstream", "route"
    ).prefetch_related("context_tests", "route__targets")


def _read_by_id(pk: str) -> Model:
    model = _servable().filter(pk=int(pk)).first()
    if model is None:
        raise ModelNotFound(f"No model with the number {pk} is served.")
    return model


#: The model of an alias with wildcards, for a name that nothing else has. Raises
#: ModelNotFound.
model_by_wildcard = RowCache(_read_by_wildcard, size=256)
#: The model with this id, alias, file name or ``model:adapter``. Raises ModelNotFound,
#: and its subclass ModelNotServed.
served_model = RowCache(_read, size=256)

#: The model with this primary key, as text. Raises ModelNotFound.
served_model_of_id = RowCache(_read_by_id, size=256)


def connect_signals() -> None:
    """Clear the cache when this process changes what belongs to a model."""
    for changed in (
        *(Model, Alias, Attachment, ContextTest),
        *(Upstream, UpstreamModel, Route, RouteTarget),
    ):
        for signal in (post_save, post_delete):
            for cache in (served_model, model_by_wildcard, served_model_of_id):
                signal.connect(cache.clear, sender=changed)
