"""The routes of the API."""

from __future__ import annotations

from django.urls import path

from inference.api.chat.view import ChatCompletionsView, CompletionsView
from inference.api.embeddings.view import EmbeddingsView
from inference.api.models.view import LoadView, ModelsView, ModelView, UnloadView
from inference.api.not_found import NothingView
from inference.api.rerank.view import RerankView
from inference.api.tokens.view import (
    ApplyTemplateView,
    DetokenizeView,
    TokenizeView,
)

#: Where the clients of other servers look for a route: the same views once more,
#: which /openapi.json tells of once.
_ALIASES = {
    RerankView: ("rerank", "reranking", "v1/reranking", "v2/rerank"),
    TokenizeView: ("tokenize",),
    DetokenizeView: ("detokenize",),
    ApplyTemplateView: ("apply-template",),
}

urlpatterns = [
    path("v1/chat/completions", ChatCompletionsView.as_view()),
    path("v1/completions", CompletionsView.as_view()),
    path("v1/embeddings", EmbeddingsView.as_view()),
    path("v1/rerank", RerankView.as_view()),
    path("v1/tokenize", TokenizeView.as_view()),
    path("v1/detokenize", DetokenizeView.as_view()),
    path("v1/apply-template", ApplyTemplateView.as_view()),
    *(
        path(alias, view.as_view(schema=None))
        for view, aliases in _ALIASES.items()
        for alias in aliases
    ),
    path("v1/models", ModelsView.as_view()),
    path("v1/models/<path:model_id>/load", LoadView.as_view()),
    path("v1/models/<path:model_id>/unload", UnloadView.as_view()),
    path("v1/models/<path:model_id>", ModelView.as_view()),
    path("v1/<path:rest>", NothingView.as_view()),
]
