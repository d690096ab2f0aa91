"""The objects of models that no worker loads: an upstream's, and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.models import Api, FileState, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.api.models.objects import Capability, ModelObject
    from registry.models import Model

_ABLE: dict[str, Capability] = {
    Api.CHAT: "chat",
    Api.MESSAGES: "chat",
    Api.RESPONSES: "chat",
    Api.COMPLETIONS: "completion",
    Api.EMBEDDINGS: "embedding",
    Api.RERANK: "reranking",
}
_OF_KINDS: dict[str, tuple[Capability, ...]] = {
    Kind.CHAT: ("chat", "completion"),
    Kind.COMPLETION: ("completion",),
    Kind.EMBEDDING: ("embedding",),
    Kind.RERANKER: ("reranking",),
}
#: The related rows that these objects need.
RELATED_WITHOUT_FILE = (
    "upstreammodel__upstream",
    "route__targets__model__upstreammodel__upstream",
)


def object_without_file(model: Model) -> ModelObject:
    """Return the object of a model of an upstream, or of a route.

    Its context is what the upstream's row says, and a route's the least of its
    targets'; 0 is not known.
    """
    members = members_of(model)
    contexts = [each.context_length or 0 for each in members]
    context = min(contexts, default=0)
    faults = [why for each in members if (why := _fault(each))]
    is_ready = len(faults) < len(members)
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.found_at.timestamp()),
        "owned_by": "llm-manager",
        "parent": None,
        "adapters": [],
        "state": "ready" if is_ready else "failed",
        "progress": float(is_ready),
        "seconds_left": None,
        "error": None if is_ready else " ".join(faults) or "It has no target.",
        "context": {
            "in_force": context,
            "max": context,
            "trained": context or None,
            "tested": None,
        },
        "capabilities": list(_capabilities(members)),
        "defaults": None,
        "aliases": [alias.name for alias in model.aliases.all()],
        "size_bytes": 0,
        "quantization": "",
        "architecture": "",
    }


def members_of(model: Model) -> list[Model]:
    """Return who answers a model's requests: itself, or a route's targets."""
    if model.kind != Kind.ROUTE:
        return [model]
    targets = [target.model for target in model.route.targets.all()]
    return [
        each for each in targets if each.is_enabled and each.state == FileState.FOUND
    ]


def _fault(model: Model) -> str:
    """Return why an upstream does not answer now; "" if it does, as far as is known."""
    if model.kind != Kind.UPSTREAM:
        return ""
    upstream = model.upstreammodel.upstream
    if not upstream.is_enabled:
        return f"The upstream '{upstream}' is disabled."
    if upstream.fault:
        # What was found may name addresses inside the network: administrators read it.
        return f"The upstream '{upstream}' fails its checks."
    return ""


def _capabilities(members: Iterable[Model]) -> dict[Capability, None]:
    found: dict[Capability, None] = {}
    for model in members:
        if model.kind == Kind.UPSTREAM:
            found |= dict.fromkeys(_ABLE[api] for api in model.upstreammodel.apis)
        else:
            found |= dict.fromkeys(_OF_KINDS.get(model.kind, ()))
    return found
