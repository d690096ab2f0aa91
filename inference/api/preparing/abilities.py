"""What a kind of request requires of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from registry.gguf.describe import Kind
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class Ability:
    """What a route requires of a model; ``code`` is the error code if it lacks that."""

    verb: str
    kinds: tuple[Kind, ...]
    code: str


WRITES = Ability("write text", ("chat", "completion"), "model_not_generative")
EMBEDS = Ability("make embeddings", ("embedding",), "model_not_embedding")
RANKS = Ability("rank documents", ("reranker",), "model_not_reranker")

#: What each kind of model is for, in the words of error messages.
_HINTS = {
    "chat": "It is for chats: POST /v1/chat/completions.",
    "completion": "It goes on with texts: POST /v1/completions.",
    "embedding": "It makes embeddings: POST /v1/embeddings.",
    "reranker": "It ranks documents: POST /v1/rerank.",
    "upstream": "An upstream serves it.",
    "route": "It stands for other models.",
}


def require(model: ModelFacts, ability: Ability) -> None:
    """Refuse a model that lacks an ability. Raises BadRequest."""
    if model.kind not in ability.kinds:
        raise BadRequest(
            f"The model '{model.name}' cannot {ability.verb}. "
            f"{_HINTS[model.kind]} GET /v1/models lists what each model can do.",
            param="model",
            code=ability.code,
        )
