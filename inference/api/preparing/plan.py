"""Which models may answer a request, and in which order they are asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from inference.errors import EngineUnavailable
from registry.errors import ModelNotFound
from registry.models import Kind
from registry.served_models import served_model_of_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import Model

_RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """The models that may answer, the first one first.

    ``route`` is the name that chose them, "" for a model that the client named.
    """

    targets: tuple[Model, ...]
    route: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    forced: Mapping[str, Any] = field(default_factory=dict)

    def body(self, given: Mapping[str, Any], target: Model) -> dict[str, Any]:
        """Return a request's body as a target gets it."""
        if not self.route:
            return dict(given)
        defaults = {
            name: value
            for name, value in self.defaults.items()
            if given.get(name) is None
        }
        return {**given, **defaults, **self.forced, "model": target.name}


def plan_of(model: Model, seed: str) -> Plan:
    """Return who answers a request for a model; equal seeds are answered alike.

    Raises EngineUnavailable for a route without a model that may answer.
    """
    if model.kind != Kind.ROUTE:
        return Plan((model,))
    route = model.route
    served = [
        (target.weight, found)
        for target in route.targets.all()
        if (found := _served(target.model_id)) is not None
    ]
    if not any(weight for weight, _ in served) and not (route.falls_back and served):
        raise EngineUnavailable(
            f"No model of the route '{route.name}' is served.",
            retry_after=_RETRY_AFTER_S,
        )
    first = drawn([weight for weight, _ in served], f"{route.pk}/{seed}")
    targets = [found for _, found in served]
    order = [targets[first], *targets[:first], *targets[first + 1 :]]
    return Plan(
        tuple(order if route.falls_back else order[:1]),
        route=route.name,
        defaults=route.default_parameters,
        forced=route.forced_parameters,
    )


def _served(pk: int) -> Model | None:
    try:
        return served_model_of_id(str(pk))
    except ModelNotFound:
        return None


def drawn(weights: Sequence[int], seed: str) -> int:
    """Return an index, each as often as its weight says; the same for one seed.

    Without any weight it is the first one.
    """
    total = sum(weights)
    if not total:
        return 0
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).digest()
    point = int.from_bytes(digest[:8]) * total >> 64
    for index, weight in enumerate(weights):
        if point < weight:
            return index
        point -= weight
    raise AssertionError("unreachable")


def seed_of(body: Mapping[str, Any], caller: str, request_id: str) -> str:
    """Return what decides for a target: the beginning of a conversation, and whose.

    All turns of a conversation begin alike, so that one model answers them all. What
    is no conversation is drawn by its own id.
    """
    for name in ("messages", "input"):
        begin = _beginning(body.get(name))
        if begin is not None:
            return f"{caller}/{json.dumps(begin, sort_keys=True)}"
    return request_id


def _beginning(items: Any) -> Any:
    """Return a conversation up to its first message of the user; None if it is none."""
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        return None
    for number, item in enumerate(items):
        if item.get("role") == "user":
            return items[: number + 1]
    return items[:1] or None


def loadable(model: Model) -> Model:
    """Return the model that workers serve under this name; a route's is its first.

    Raises BadRequest for one that an upstream serves.
    """
    if model.has_file:
        return model
    target = plan_of(model, "").targets[0]
    if not target.has_file:
        raise BadRequest(
            f"The model '{target.name}' is an upstream's: only chats, completions, "
            "embeddings, rankings, messages and responses are sent there.",
            param="model",
            code="model_without_api",
        )
    return target
