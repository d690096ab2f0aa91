"""Finds the model that a request names, and checks that its key may use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.errors import ModelNotAllowed
from accounts.keys.key_access import allowed_model_ids
from accounts.limits.throttling import request_ip
from accounts.models import ApiKey
from inference.api.errors import BadRequest
from llm_manager.lib.quoting import quote
from registry.errors import ModelNotFound
from registry.models import GENERATIVE, Kind, Model
from registry.served_models import served_model
from registry.services import arrived_model

if TYPE_CHECKING:
    from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class Ability:
    """What a route requires of a model; ``code`` is the error code if it lacks that."""

    verb: str
    kinds: tuple[Kind, ...]
    code: str


WRITES = Ability("write text", GENERATIVE, "model_not_generative")
EMBEDS = Ability("make embeddings", (Kind.EMBEDDING,), "model_not_embedding")
RANKS = Ability("rank documents", (Kind.RERANKER,), "model_not_reranker")

#: What each kind of model is for, in the words of error messages.
_HINTS = {
    Kind.CHAT: "It is for chats: POST /v1/chat/completions.",
    Kind.COMPLETION: "It goes on with texts: POST /v1/completions.",
    Kind.EMBEDDING: "It makes embeddings: POST /v1/embeddings.",
    Kind.RERANKER: "It ranks documents: POST /v1/rerank.",
}


@dataclass(frozen=True, slots=True)
class KeyShare:
    """The key whose fair share a request counts towards, and the key's weight."""

    key: str
    weight: float


def key_of(request: Request) -> ApiKey | None:
    """Return the API key of a request, if any."""
    return request.auth if isinstance(request.auth, ApiKey) else None


def model_find(name: str, key: ApiKey | None) -> Model:
    """Return the model with this id, alias or file name, if the key may use it.

    It makes one query, or none if the row was read within the last second. A file of
    this name that nobody has registered yet is registered. Raises ModelNotFound or
    ModelNotAllowed. A restricted key gets the same error for a model
    that does not exist and for one that it may not use.
    """
    allowed = allowed_model_ids(key)
    # PostgreSQL refuses a text with a NUL, and no name has one.
    name = name.replace("\x00", "\ufffd")
    try:
        model = served_model(name)
    except ModelNotFound:
        if allowed is not None:
            raise ModelNotAllowed(quote(name)) from None
        arrived = arrived_model(name)
        if arrived is None:
            raise
        model = arrived
    if allowed is not None and model.pk not in allowed:
        raise ModelNotAllowed(quote(name))
    return model


def require(model: Model, ability: Ability) -> None:
    """Refuse a model that lacks an ability. Raises BadRequest."""
    if model.kind not in ability.kinds:
        raise BadRequest(
            f"The model '{model.name}' cannot {ability.verb}. "
            f"{_HINTS[Kind(model.kind)]} GET /v1/models lists what each model can do.",
            param="model",
            code=ability.code,
        )


def key_share(request: Request) -> KeyShare:
    """Return the key that a request counts towards, or its address if it has none."""
    key = key_of(request)
    if key is None:
        return KeyShare(f"ip:{request_ip(request)}", 1.0)
    return KeyShare(key.prefix, key.weight)
