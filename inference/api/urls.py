"""The routes of the API. A route's name is its label ``view`` in the metrics."""

from __future__ import annotations

from django.urls import path

from inference.api.chat.view import ChatCompletionsView
from inference.api.completions.view import CompletionsView
from inference.api.embeddings.view import EmbeddingsView
from inference.api.models.view import LoadView, ModelsView, ModelView, UnloadView
from inference.api.not_found import UnknownRouteView
from inference.api.rerank.view import RerankView
from inference.api.tokens.view import (
    ApplyTemplateView,
    DetokenizeView,
    TokenizeView,
)

#: Paths that clients of other servers use. They lead to the same views, and
#: /openapi.json omits them.
_ALIASES = {
    "rerank": (RerankView, ("rerank", "reranking", "v1/reranking", "v2/rerank")),
    "tokenize": (TokenizeView, ("tokenize",)),
    "detokenize": (DetokenizeView, ("detokenize",)),
    "apply-template": (ApplyTemplateView, ("apply-template",)),
}

urlpatterns = [
    path("v1/chat/completions", ChatCompletionsView.as_view(), name="chat-completions"),
    path("v1/completions", CompletionsView.as_view(), name="completions"),
    path("v1/embeddings", EmbeddingsView.as_view(), name="embeddings"),
    path("v1/rerank", RerankView.as_view(), name="rerank"),
    path("v1/tokenize", TokenizeView.as_view(), name="tokenize"),
    path("v1/detokenize", DetokenizeView.as_view(), name="detokenize"),
    path("v1/apply-template", ApplyTemplateView.as_view(), name="apply-template"),
    *(
        path(alias, view.as_view(schema=None), name=name)
        for name, (view, aliases) in _ALIASES.items()
        for alias in aliases
    ),
    path("v1/models", ModelsView.as_view(), name="models"),
    path("v1/models/<path:model_id>/load", LoadView.as_view(), name="load"),
    path("v1/models/<path:model_id>/unload", UnloadView.as_view(), name="unload"),
    path("v1/models/<path:model_id>", ModelView.as_view(), name="model"),
    path("v1/<path:rest>", UnknownRouteView.as_view(), name="unknown"),
]
