"""/v1/admin/routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.db import transaction

from inference.api.administration import descriptions as about
from inference.api.administration.bodies import ListQuery
from inference.api.administration.elsewhere.aliases import set_aliases
from inference.api.administration.elsewhere.bodies import (
    NewRouteRequest,
    RouteChangeRequest,
)
from inference.api.administration.elsewhere.objects import route_object
from inference.api.administration.elsewhere.upstreams import changes_of
from inference.api.administration.rows import models_of, row_named
from inference.api.administration.view import AdminView, answering, page, query_of
from registry.models import Route, RouteTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from inference.api.administration.elsewhere.bodies import RouteTargetBody


def _list(request: Request) -> Any:
    query = query_of(request, ListQuery)
    rows = Route.objects.filter(name__gt=query.after).order_by("name")
    return page(query, rows, route_object)


def _create(request: Request) -> Any:
    body = NewRouteRequest.parse(request.data)
    route = Route(**body.model_dump(exclude={"targets", "aliases"}))
    route.full_clean()
    with transaction.atomic():
        route.save()
        _set_targets(route, body.targets)
        set_aliases(route, body.aliases)
    return route_object(route)


def _change(request: Request, name: str) -> Any:
    body = RouteChangeRequest.parse(request.data)
    changes = changes_of(body.given(), ())
    route = _named(name)
    targets, aliases = (changes.pop(name, None) for name in ("targets", "aliases"))
    for member, value in changes.items():
        setattr(route, member, value)
    route.full_clean()
    with transaction.atomic():
        route.save()
        if targets is not None:
            _set_targets(route, targets)
        if aliases is not None:
            set_aliases(route, aliases)
    return route_object(route)


def _set_targets(route: Route, targets: Sequence[RouteTargetBody]) -> None:
    """Give a route these targets and no others. Raises BadRequest, ValidationError."""
    models = models_of([target.model for target in targets], "targets")
    for former in route.targets.all():
        former.delete()
    for target, model in zip(targets, models, strict=True):
        row = RouteTarget(route=route, model=model, weight=target.weight)
        row.full_clean()
        row.save()


def _delete(request: Request, name: str) -> Any:
    _named(name).delete()
    return {"id": name, "deleted": True}


def _named(name: str) -> Route:
    """Return the route with a name. Raises RowNotFound."""
    rows = cast("QuerySet[Route]", Route.objects.all())
    return row_named(rows, "route", name=name)


class RoutesView(AdminView):
    """The routes."""

    on = {"GET": _list, "POST": _create}
    get = answering(about.list_routes)
    post = answering(about.create_route, status=201)


class RouteView(AdminView):
    """One route."""

    on = {"PATCH": _change, "DELETE": _delete}
    patch = answering(about.change_route)
    delete = answering(about.delete_route)
