"""Finds the model that a request names, and checks that its key may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.errors import ModelNotAllowed
from accounts.keys.key_access import Access, allowed_model_ids
from accounts.limits.throttling import request_ip
from accounts.models import ApiKey
from accounts.session_access import SessionAccess
from inference.api.preparing.caller import Caller
from llm_manager.lib.quoting import quote
from registry.errors import AmbiguousName, ModelNotFound, ModelNotServed
from registry.models import Model
from registry.served_models import model_by_wildcard, served_model
from registry.services import arrived_model

if TYPE_CHECKING:
    from rest_framework.request import Request


def key_of(request: Request) -> ApiKey | None:
    """Return the API key of a request, if any."""
    return request.auth if isinstance(request.auth, ApiKey) else None


def access_of(request: Request) -> Access | None:
    """Return the API key of a request, or what its session allows, if any."""
    return request.auth if isinstance(request.auth, Access) else None


def model_find(name: str, key: Access | None) -> Model:
    """Return the model with this id, alias or file name, if the key may use it.

    An alias with wildcards counts where nothing else has the name.

    It makes one query, or none if the row was read within the last second. A file of
    this name that nobody has registered yet is registered. Raises ModelNotFound or
    ModelNotAllowed. A restricted key gets the same error for a model
    that does not exist and for one that it may not use.
    """
    allowed = allowed_model_ids(key)
    # PostgreSQL refuses a text with a NUL, and no name has one.
    name = name.replace("\x00", "\ufffd")
    try:
        model = _named(name, looks_for_files=allowed is None)
    except ModelNotFound:
        if allowed is not None:
            raise _not_allowed(name, key) from None
        raise
    if allowed is not None and model.pk not in allowed:
        raise _not_allowed(name, key)
    return model


def target_find(name: str, key: Access | None) -> Model:
    """Return the model that a route chose for an earlier request of the key.

    A key of the route may use it, as ``model_find`` lets it use the route. Raises what
    that raises.
    """
    try:
        return model_find(name, key)
    except ModelNotAllowed:
        model = served_model(name)
        routes = model.routed_by.filter(route__is_enabled=True)
        if not routes.filter(route_id__in=allowed_model_ids(key) or ()).exists():
            raise
        return model


def _named(name: str, *, looks_for_files: bool) -> Model:
    """Return the model of a name. Raises ModelNotFound."""
    try:
        return served_model(name)
    except (AmbiguousName, ModelNotServed):
        raise
    except ModelNotFound:
        arrived = arrived_model(name) if looks_for_files else None
    return arrived or model_by_wildcard(name)


def _not_allowed(name: str, key: Access | None) -> ModelNotAllowed:
    is_session = isinstance(key, SessionAccess)
    return ModelNotAllowed(quote(name), is_session=is_session)


def any_model(name: str) -> Model:
    """Return the model of this name, whatever it is: also one that serves nobody.

    Raises ModelNotFound.
    """
    return Model.objects.resolve(name.replace("\x00", "\ufffd"))


def owner_id_of(request: Request) -> int:
    """Return whose a request is; 0 is a client that needs no key."""
    key = access_of(request)
    return 0 if key is None else key.owner_id


def caller_of(request: Request) -> Caller:
    """Return whom a request counts for: its key, its person, or else its address."""
    key = access_of(request)
    idle_only: bool = getattr(request, "idle_only", False)
    if key is None:
        return Caller(f"ip:{request_ip(request)}", idle_only=idle_only)
    return Caller(key.prefix, key.weight, str(key.owner_id), idle_only=idle_only)
