"""Administrators' orders that end workers, and what they mean for requests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from inference.errors import ModelDeleted, ModelDisabled, ModelStopped, ModelUnloaded
from inference.models import StopOrder
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Collection

#: The error of a request that an order ends. A reload ends none.
ERRORS: dict[str, type[ModelStopped]] = {
    StopOrder.Action.UNLOAD: ModelUnloaded,
    StopOrder.Action.DISABLE: ModelDisabled,
}


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the requests that no worker has are not run any more.

    It holds for those that came until ``until``, in seconds since the epoch.
    """

    until: float
    error: type[ModelStopped]
    message: str


def stop_order_add(
    *, model: Model, action: StopOrder.Action, by: str, is_now: bool
) -> None:
    """Order that the workers of a model end; ``by`` says who, for people."""
    columns = {
        "action": action,
        "is_now": is_now,
        "by": by,
        "at": timezone.now(),
    }
    StopOrder.objects.update_or_create(
        model=model,
        defaults={**columns, "number": F("number") + 1},
        create_defaults=columns,
    )


def stop_order_of(model: Model) -> StopOrder | None:
    """Return the last order for a model's workers."""
    return getattr(model, "stop_order", None)


def stops_of(model_ids: Collection[int]) -> dict[int, Stop]:
    """Return what ends waiting requests of these models, in one query."""
    rows = Model.objects.filter(pk__in=model_ids).only(
        "name", "is_enabled", "stop_order"
    )
    rows = rows.select_related("stop_order")
    found = {model.pk: _stop_of(model) for model in rows}
    deleted = Stop(math.inf, ModelDeleted, "The model was deleted.")
    stops = {pk: found.get(pk, deleted) for pk in model_ids}
    return {pk: stop for pk, stop in stops.items() if stop is not None}


def _stop_of(model: Model) -> Stop | None:
    order = stop_order_of(model)
    if not model.is_enabled:
        return Stop(math.inf, ModelDisabled, disabled_message(model))
    if order is None or order.action == StopOrder.Action.RELOAD:
        return None
    return Stop(order.at.timestamp(), ERRORS[order.action], ended_message(order))


def ended_message(order: StopOrder) -> str:
    """Return what a request is answered that this order ends."""
    return f"{order}, which ended this request."


def disabled_message(model: Model) -> str:
    """Return what a request of a disabled model is answered that it ends."""
    order = stop_order_of(model)
    if order is not None and order.action == StopOrder.Action.DISABLE:
        return ended_message(order)
    return f"The model '{model.name}' was disabled, which ended this request."
