"""/v1/admin/keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from accounts.errors import CaptureNotAllowed
from accounts.models import ApiKey
from accounts.services import (
    api_key_capture,
    api_key_create,
    api_key_rotate,
    api_key_update,
)
from inference.api.administration import descriptions as about
from inference.api.administration.bodies import (
    CaptureRequest,
    KeyChangeRequest,
    KeyQuery,
    NewKeyRequest,
    RotateRequest,
)
from inference.api.administration.objects import KEY_ROWS, key_object
from inference.api.administration.rows import (
    key_named,
    key_of,
    models_of,
    moment_of,
    owner_of,
    team_of,
)
from inference.api.administration.view import AdminView, answering, page, query_of
from inference.api.errors import BadRequest
from inference.api.model_access import key_of as key_of_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import User
    from rest_framework.request import Request

    from registry.models import Model


def author(request: Request) -> User | None:
    """Return the owner of the key that asks."""
    key = key_of_request(request)
    return None if key is None else key.owner


def models_given(
    *, all_models: bool, names: Sequence[str] | None
) -> list[Model] | None:
    """Return the models of a body; None is all. Raises BadRequest."""
    if all_models == bool(names):
        raise BadRequest(
            "Give 'models', or 'all_models' true: one of them.", param="models"
        )
    return None if all_models else models_of(names or ())


def _list(request: Request) -> Any:
    query = query_of(request, KeyQuery)
    keys = ApiKey.objects.select_related(*KEY_ROWS).prefetch_related("allowed_models")
    keys = keys.order_by("-pk")
    if query.owner:
        keys = keys.filter(owner__username=query.owner)
    if query.team:
        keys = keys.filter(team__group__name=query.team)
    if query.state:
        usable = ApiKey.objects.usable().values("pk")
        is_active = query.state == "active"
        keys = keys.filter(pk__in=usable) if is_active else keys.exclude(pk__in=usable)
    if query.after:
        keys = keys.filter(pk__lt=key_of(query.after, "after").pk)
    return page(query, keys, key_object)


def _create(request: Request) -> Any:
    body = NewKeyRequest.parse(request.data)
    key, secret = api_key_create(
        name=body.name,
        owner=owner_of(body.owner),
        team=team_of(body.team),
        scopes=list(dict.fromkeys(body.scopes)),
        models=models_given(all_models=body.all_models, names=body.models),
        allowed_networks=body.allowed_networks or (),
        rate_limit=body.rate_limit,
        weight=body.weight,
        expires_at=moment_of(body.expires_at),
        notes=body.notes,
        created_by=author(request),
    )
    return {"secret": secret, "key": key_object(key)}


def _get(request: Request, prefix: str) -> Any:
    return key_object(key_named(prefix))


def _change(request: Request, prefix: str) -> Any:
    given = KeyChangeRequest.parse(request.data).given()
    key = key_named(prefix)
    for name in ("name", "scopes", "weight", "notes", "allowed_networks"):
        if name in given and given[name] is None:
            raise BadRequest(f"'{name}' cannot be null.", param=name)
    models: list[Model] | None = None
    if {"all_models", "models"} & set(given):
        chosen = models_given(
            all_models=bool(given.pop("all_models", False)),
            names=given.pop("models", None),
        )
        given["all_models"], models = chosen is None, chosen or []
    if "team" in given:
        given["team"] = team_of(given["team"])
    if "expires_at" in given:
        given["expires_at"] = moment_of(given["expires_at"])
    api_key_update(key=key, models=models, **given)
    return key_object(key_named(prefix))


def _rotate(request: Request, prefix: str) -> Any:
    hours = RotateRequest.parse(request.data).grace_hours
    key, secret = api_key_rotate(
        key=key_named(prefix), grace=timedelta(hours=hours), by=author(request)
    )
    return {"secret": secret, "key": key_object(key)}


def _revoke(request: Request, prefix: str) -> Any:
    key = key_named(prefix)
    key.revoke(by=author(request))
    return key_object(key)


def _capture(request: Request, prefix: str) -> Any:
    hours = CaptureRequest.parse(request.data).hours
    return _captured(request, prefix, hours)


def _end_capture(request: Request, prefix: str) -> Any:
    return _captured(request, prefix, None)


def _captured(request: Request, prefix: str, hours: int | None) -> Any:
    """Switch the capture; without a key that asks, this machine's user does it."""
    by = author(request)
    # The row of a key that is cached remembers what its owner might do.
    if by is not None and not _fresh(by).has_perm("accounts.capture_apikey"):
        raise CaptureNotAllowed
    key = key_named(prefix)
    api_key_capture(key=key, hours=hours, by=by)
    return key_object(key)


def _fresh(user: User) -> User:
    return type(user)._default_manager.get(pk=user.pk)


class KeysView(AdminView):
    """The keys."""

    on = {"GET": _list, "POST": _create}
    get = answering(about.list_keys)
    post = answering(about.create_key, status=201)


class KeyView(AdminView):
    """One key."""

    on = {"GET": _get, "PATCH": _change}
    get = answering(about.get_key)
    patch = answering(about.change_key)


class RotateView(AdminView):
    """A key takes another one's place."""

    on = {"POST": _rotate}
    post = answering(about.rotate_key, status=201)


class RevokeView(AdminView):
    """A key ends for good."""

    on = {"POST": _revoke}
    post = answering(about.revoke_key)


class CaptureView(AdminView):
    """The bodies of a key's requests are captured, or no more."""

    on = {"POST": _capture, "DELETE": _end_capture}
    post = answering(about.capture_key)
    delete = answering(about.end_capture)
