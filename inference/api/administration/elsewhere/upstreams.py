"""/v1/admin/upstreams and /v1/admin/upstream-models."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import async_to_sync
from django.db import transaction

from inference.api.administration import descriptions as about
from inference.api.administration.bodies import ListQuery
from inference.api.administration.elsewhere.aliases import set_aliases
from inference.api.administration.elsewhere.bodies import (
    NewUpstreamModelRequest,
    NewUpstreamRequest,
    UpstreamChangeRequest,
    UpstreamModelChangeRequest,
)
from inference.api.administration.elsewhere.objects import (
    upstream_model_object,
    upstream_object,
)
from inference.api.administration.rows import row_named
from inference.api.administration.view import AdminView, answering, page, query_of
from inference.api.errors import BadRequest, RowNotFound
from inference.upstreams.checking import check_now
from llm_manager.lib.quoting import quote
from registry.models import Upstream, UpstreamModel
from registry.models.upstream import key_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from rest_framework.request import Request

_PRICES = ("input_price", "cached_price", "output_price")
#: Members that a null empties.
_MAY_BE_NULL = ("key", "context_length", *_PRICES)


def changes_of(given: dict[str, Any], may_be_null: Iterable[str]) -> dict[str, Any]:
    """Return the changes of a row. Raises BadRequest for a null that means nothing."""
    for name, value in given.items():
        if value is None and name not in may_be_null:
            raise BadRequest(f"'{name}' cannot be null.", param=name)
    return {
        name: Decimal(str(value)) if name in _PRICES and value is not None else value
        for name, value in given.items()
    }


def _list(request: Request) -> Any:
    query = query_of(request, ListQuery)
    rows = Upstream.objects.filter(name__gt=query.after).order_by("name")
    return page(query, rows, upstream_object)


def _create(request: Request) -> Any:
    body = NewUpstreamRequest.parse(request.data)
    members = body.model_dump(exclude={"key"})
    upstream = Upstream(**members)
    _set_key(upstream, body.key)
    upstream.full_clean()
    upstream.save()
    return upstream_object(upstream)


def _change(request: Request, name: str) -> Any:
    given = UpstreamChangeRequest.parse(request.data).given()
    changes = changes_of(given, _MAY_BE_NULL)
    upstream = upstream_named(name)
    if "key" in changes:
        _set_key(upstream, changes.pop("key") or "")
    for member, value in changes.items():
        setattr(upstream, member, value)
    upstream.full_clean()
    upstream.save()
    return upstream_object(upstream)


def _set_key(upstream: Upstream, key: str) -> None:
    fault = key_fault(key)
    if fault:
        raise BadRequest(fault, param="key")
    upstream.key = key


def _delete(request: Request, name: str) -> Any:
    upstream_named(name).delete()
    return {"id": name, "deleted": True}


def _check(request: Request, name: str) -> Any:
    upstream = upstream_named(name)
    async_to_sync(check_now)(upstream)
    upstream.refresh_from_db()
    return upstream_object(upstream)


def upstream_named(name: str) -> Upstream:
    """Return the upstream with a name. Raises RowNotFound."""
    return row_named(Upstream.objects.all(), "upstream", name=name)


def _list_models(request: Request) -> Any:
    query = query_of(request, ListQuery)
    rows = UpstreamModel.objects.filter(name__gt=query.after).order_by("name")
    return page(query, rows, upstream_model_object)


def _create_model(request: Request) -> Any:
    body = NewUpstreamModelRequest.parse(request.data)
    members = changes_of(body.model_dump(exclude={"upstream", "aliases"}), _MAY_BE_NULL)
    try:
        upstream = upstream_named(body.upstream)
    except RowNotFound:
        raise BadRequest(
            f"There is no upstream '{quote(body.upstream)}'.", param="upstream"
        ) from None
    model = UpstreamModel(upstream=upstream, **members)
    model.full_clean()
    with transaction.atomic():
        model.save()
        set_aliases(model, body.aliases)
    return upstream_model_object(model)


def _change_model(request: Request, name: str) -> Any:
    given = UpstreamModelChangeRequest.parse(request.data).given()
    model = _model_named(name)
    changes = changes_of(given, _MAY_BE_NULL)
    aliases = changes.pop("aliases", None)
    for member, value in changes.items():
        setattr(model, member, value)
    model.full_clean()
    with transaction.atomic():
        model.save()
        if aliases is not None:
            set_aliases(model, aliases)
    return upstream_model_object(model)


def _delete_model(request: Request, name: str) -> Any:
    _model_named(name).delete()
    return {"id": name, "deleted": True}


def _model_named(name: str) -> UpstreamModel:
    """Return the upstream's model with a name. Raises RowNotFound."""
    rows = cast("QuerySet[UpstreamModel]", UpstreamModel.objects.all())
    return row_named(rows, "model of an upstream", name=name)


class UpstreamsView(AdminView):
    """The upstreams."""

    on = {"GET": _list, "POST": _create}
    get = answering(about.list_upstreams)
    post = answering(about.create_upstream, status=201)


class UpstreamView(AdminView):
    """One upstream."""

    on = {"PATCH": _change, "DELETE": _delete}
    patch = answering(about.change_upstream)
    delete = answering(about.delete_upstream)


class UpstreamCheckView(AdminView):
    """Whether an upstream answers."""

    on = {"POST": _check}
    post = answering(about.check_upstream)


class UpstreamModelsView(AdminView):
    """The models of upstreams."""

    on = {"GET": _list_models, "POST": _create_model}
    get = answering(about.list_upstream_models)
    post = answering(about.create_upstream_model, status=201)


class UpstreamModelView(AdminView):
    """One model of an upstream."""

    on = {"PATCH": _change_model, "DELETE": _delete_model}
    patch = answering(about.change_upstream_model)
    delete = answering(about.delete_upstream_model)
