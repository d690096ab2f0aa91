"""Which model a request means, and whether its key may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.errors import ModelNotAllowed
from accounts.models import ApiKey
from accounts.permissions import allowed_model_ids
from inference.openai.errors import InvalidRequest
from inference.openai.fields import quote
from registry.errors import ModelNotFound
from registry.models import Kind, Model

if TYPE_CHECKING:
    from rest_framework.request import Request

_HINTS = {
    Kind.EMBEDDING: "It makes embeddings; chat with a model of the kind chat.",
    Kind.RERANKER: "It ranks texts; chat with a model of the kind chat.",
}


def key_of(request: Request) -> ApiKey | None:
    """Return the key that a request was let in by, if any."""
    return request.auth if isinstance(request.auth, ApiKey) else None


def model_find(name: str, key: ApiKey | None) -> Model:
    """Return the model with this id, alias or file name, if the key may use it.

    Two queries. Raises ModelNotFound or ModelNotAllowed. To a restricted key a
    model that there is not and one of somebody else look alike.
    """
    allowed = allowed_model_ids(key)
    try:
        # No database row has a NUL, and PostgreSQL cannot even be asked for one.
        model = Model.objects.servable().resolve(name.replace("\x00", "\ufffd"))
    except ModelNotFound:
        if allowed is not None:
            raise ModelNotAllowed(quote(name)) from None
        raise
    if allowed is not None and model.pk not in allowed:
        raise ModelNotAllowed(quote(name))
    return model


def require_generative(model: Model) -> None:
    """Refuse a model that answers no prompts. Raises InvalidRequest."""
    if not model.is_generative:
        hint = _HINTS.get(Kind(model.kind), "GET /v1/models tells what each can do.")
        raise InvalidRequest(
            f"The model '{model.name}' cannot write text. {hint}",
            param="model",
            code="model_not_generative",
        )
