"""Which model a request means, and whether its key may use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.errors import ModelNotAllowed
from accounts.keys.permissions import allowed_model_ids
from accounts.limits.throttling import request_ip
from accounts.models import ApiKey
from inference.api.errors import BadRequest, quote
from registry.errors import ModelNotFound
from registry.models import GENERATIVE, Kind, Model
from registry.served_models import served_model

if TYPE_CHECKING:
    from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class Ability:
    """What a route needs of a model; ``code`` is the error of one that has it not."""

    verb: str
    kinds: tuple[Kind, ...]
    code: str


WRITES = Ability("write text", GENERATIVE, "model_not_generative")
EMBEDS = Ability("make embeddings", (Kind.EMBEDDING,), "model_not_embedding")
RANKS = Ability("rank documents", (Kind.RERANKER,), "model_not_reranker")

#: What the kinds are for.
_HINTS = {
    Kind.CHAT: "It is for chats: POST /v1/chat/completions.",
    Kind.COMPLETION: "It goes on with texts: POST /v1/completions.",
    Kind.EMBEDDING: "It makes embeddings: POST /v1/embeddings.",
    Kind.RERANKER: "It ranks documents: POST /v1/rerank.",
}


@dataclass(frozen=True, slots=True)
class KeyShare:
    """The key whose share of a model a request takes, and how large that is."""

    key: str
    weight: float


def key_of(request: Request) -> ApiKey | None:
    """Return the key that a request has, if any."""
    return request.auth if isinstance(request.auth, ApiKey) else None


def model_find(name: str, key: ApiKey | None) -> Model:
    """Return the model with this id, alias or file name, if the key may use it.

    It makes one query, or none if the row was read within the last second. Raises
    ModelNotFound or ModelNotAllowed. To a restricted key a model that does not exist
    looks like one that it may not use.
    """
    allowed = allowed_model_ids(key)
    try:
        # No database row has a NUL, and PostgreSQL cannot even be asked for one.
        model = served_model(name.replace("\x00", "\ufffd"))
    except ModelNotFound:
        if allowed is not None:
            raise ModelNotAllowed(quote(name)) from None
        raise
    if allowed is not None and model.pk not in allowed:
        raise ModelNotAllowed(quote(name))
    return model


def require(model: Model, ability: Ability) -> None:
    """Refuse a model that cannot do what is asked. Raises BadRequest."""
    if model.kind not in ability.kinds:
        raise BadRequest(
            f"The model '{model.name}' cannot {ability.verb}. "
            f"{_HINTS[Kind(model.kind)]} GET /v1/models lists what each model can do.",
            param="model",
            code=ability.code,
        )


def key_share(request: Request) -> KeyShare:
    """Return whose share a request takes: its address's, if it has no key."""
    key = key_of(request)
    if key is None:
        return KeyShare(f"ip:{request_ip(request)}", 1.0)
    return KeyShare(key.prefix, key.weight)
