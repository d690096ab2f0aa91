"""Upstreams, their models and routes as answers of /v1/admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from decimal import Decimal

    from registry.models import Route, Upstream, UpstreamModel


class AdminUpstream(TypedDict):
    """Another inference server; its key is in no answer."""

    object: Literal["admin.upstream"]
    name: str
    base_url: str
    has_key: bool
    dialect: str
    is_enabled: bool
    connect_timeout_s: int
    read_timeout_s: int
    total_timeout_s: int
    state: str
    fault: str
    checked_at: str | None
    paused_until: str | None


class AdminUpstreamModel(TypedDict):
    """A model that an upstream serves."""

    object: Literal["admin.upstream_model"]
    name: str
    upstream: str
    remote_name: str
    aliases: list[str]
    apis: list[str]
    is_enabled: bool
    context_length: int | None
    refused_parameters: list[str]
    input_price: float | None
    cached_price: float | None
    output_price: float | None


class AdminRouteTarget(TypedDict):
    """A model of a route, and its weight."""

    model: str
    weight: int


class AdminRoute(TypedDict):
    """A name that stands for one of several models."""

    object: Literal["admin.route"]
    name: str
    aliases: list[str]
    is_enabled: bool
    targets: list[AdminRouteTarget]
    falls_back: bool
    default_parameters: dict[str, Any]
    forced_parameters: dict[str, Any]


class AdminUpstreamList(TypedDict):
    """Upstreams, by name."""

    object: Literal["list"]
    data: list[AdminUpstream]
    has_more: bool


class AdminUpstreamModelList(TypedDict):
    """Models of upstreams, by name."""

    object: Literal["list"]
    data: list[AdminUpstreamModel]
    has_more: bool


class AdminRouteList(TypedDict):
    """Routes, by name."""

    object: Literal["list"]
    data: list[AdminRoute]
    has_more: bool


#: The schemas of /openapi.json.
ELSEWHERE: dict[str, type] = {
    each.__name__: each
    for each in (
        *(AdminUpstream, AdminUpstreamModel, AdminRoute),
        *(AdminUpstreamList, AdminUpstreamModelList, AdminRouteList),
    )
}


def upstream_object(upstream: Upstream) -> AdminUpstream:
    """Return an upstream's object."""
    checked_at, pause = upstream.checked_at, upstream.pause
    return {
        "object": "admin.upstream",
        "name": upstream.name,
        "base_url": upstream.base_url,
        "has_key": bool(upstream.sealed_key),
        "dialect": str(upstream.dialect),
        "is_enabled": upstream.is_enabled,
        "connect_timeout_s": upstream.connect_timeout_s,
        "read_timeout_s": upstream.read_timeout_s,
        "total_timeout_s": upstream.total_timeout_s,
        "state": upstream.state,
        "fault": upstream.fault,
        "checked_at": None if checked_at is None else checked_at.isoformat(),
        "paused_until": None if pause is None else pause.isoformat(),
    }


def upstream_model_object(model: UpstreamModel) -> AdminUpstreamModel:
    """Return the object of an upstream's model."""
    return {
        "object": "admin.upstream_model",
        "name": model.name,
        "upstream": model.upstream.name,
        "remote_name": model.remote_name,
        "aliases": [alias.name for alias in model.aliases.all()],
        "apis": model.apis,
        "is_enabled": model.is_enabled,
        "context_length": model.context_length,
        "refused_parameters": model.refused_parameters,
        "input_price": _price(model.input_price),
        "cached_price": _price(model.cached_price),
        "output_price": _price(model.output_price),
    }


def route_object(route: Route) -> AdminRoute:
    """Return a route's object."""
    return {
        "object": "admin.route",
        "name": route.name,
        "aliases": [alias.name for alias in route.aliases.all()],
        "is_enabled": route.is_enabled,
        "targets": [
            {"model": target.model.name, "weight": target.weight}
            for target in route.targets.select_related("model")
        ],
        "falls_back": route.falls_back,
        "default_parameters": route.default_parameters,
        "forced_parameters": route.forced_parameters,
    }


def _price(price: Decimal | None) -> float | None:
    return None if price is None else float(price)
