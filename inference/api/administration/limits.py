"""/v1/admin/limits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from accounts.models import Limit
from inference.api.administration import descriptions as about
from inference.api.administration.bodies import (
    LimitChangeRequest,
    LimitRequest,
    ListQuery,
)
from inference.api.administration.objects import limit_object
from inference.api.administration.rows import key_of, models_of, team_of, users_of
from inference.api.administration.view import AdminView, answering, page, query_of
from inference.api.errors import BadRequest, RowNotFound

if TYPE_CHECKING:
    from rest_framework.request import Request

_ROWS = ("key", "user", "team__group", "model")


def _list(request: Request) -> Any:
    query = query_of(request, ListQuery)
    limits = Limit.objects.select_related(*_ROWS).order_by("pk")
    if query.after:
        if not query.after.isdecimal():
            raise BadRequest("'after' is no id of a limit.", param="after")
        limits = limits.filter(pk__gt=int(query.after))
    return page(query, limits, limit_object)


def _create(request: Request) -> Any:
    body = LimitRequest.parse(request.data)
    if sum(name is not None for name in (body.key, body.user, body.team)) > 1:
        raise BadRequest("Give one of 'key', 'user' and 'team'.", param="key")
    limit = Limit(
        kind=body.kind,
        amount=Decimal(str(body.amount)),
        key=None if body.key is None else key_of(body.key),
        user=None if body.user is None else users_of([body.user], "user")[0],
        team=team_of(body.team),
        model=None if body.model is None else models_of([body.model], "model")[0],
        is_shared=body.is_shared,
    )
    limit.full_clean()
    limit.save()
    return limit_object(limit)


def _change(request: Request, number: int) -> Any:
    given = LimitChangeRequest.parse(request.data).given()
    for name, value in given.items():
        if value is None:
            raise BadRequest(f"'{name}' cannot be null.", param=name)
    if "amount" in given:
        given["amount"] = Decimal(str(given["amount"]))
    limit = _limit(number)
    for name, value in given.items():
        setattr(limit, name, value)
    limit.full_clean()
    limit.save(update_fields=list(given))
    return limit_object(limit)


def _delete(request: Request, number: int) -> Any:
    _limit(number).delete()
    return {"id": str(number), "deleted": True}


def _limit(number: int) -> Limit:
    """Return the limit with a number. Raises RowNotFound."""
    limit = Limit.objects.select_related(*_ROWS).filter(pk=number).first()
    if limit is None:
        raise RowNotFound("limit", str(number))
    return limit


class LimitsView(AdminView):
    """The limits."""

    on = {"GET": _list, "POST": _create}
    get = answering(about.list_limits)
    post = answering(about.create_limit, status=201)


class LimitView(AdminView):
    """One limit."""

    on = {"PATCH": _change, "DELETE": _delete}
    patch = answering(about.change_limit)
    delete = answering(about.delete_limit)
