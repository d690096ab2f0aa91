"""The routes of the API. A route's name is its label ``view`` in the metrics."""

from __future__ import annotations

from django.urls import path, re_path, register_converter

from inference.api.administration.routes import ROUTES as ADMIN_ROUTES
from inference.api.batches.view import (
    BatchesView,
    BatchView,
    CancelBatchView,
)
from inference.api.chat.view import ChatCompletionsView
from inference.api.completions.view import CompletionsView
from inference.api.downloads.view import ROUTES as DOWNLOAD_ROUTES
from inference.api.embeddings.view import EmbeddingsView
from inference.api.files.view import FileContentView, FilesView, FileView
from inference.api.messages.view import CountTokensView, MessagesView
from inference.api.models.view import LoadView, ModelsView, ModelView, UnloadView
from inference.api.not_found import UnknownRouteView
from inference.api.ollama.routes import ROUTES as OLLAMA_ROUTES
from inference.api.rerank.view import RerankView
from inference.api.responses_api.input_tokens_view import InputTokensView
from inference.api.responses_api.store.views import (
    CancelResponseView,
    ConversationItemsView,
    ConversationItemView,
    ConversationsView,
    ConversationView,
    InputItemsView,
    StoredResponseView,
)
from inference.api.responses_api.view import ResponsesView
from inference.api.tokens.view import (
    ApplyTemplateView,
    DetokenizeView,
    TokenizeView,
)
from inference.api.usage.view import UsageView


class _AnyText:
    """A converter of Django's for any text: ``path`` takes no line breaks."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        """Return the text."""
        return value

    def to_url(self, value: str) -> str:
        """Return the text."""
        return value


register_converter(_AnyText, "any")

#: Under /v1, and without it for clients whose base URL has none.
_ROUTES = (
    ("chat/completions", ChatCompletionsView, "chat-completions"),
    ("completions", CompletionsView, "completions"),
    ("embeddings", EmbeddingsView, "embeddings"),
    ("rerank", RerankView, "rerank"),
    ("responses", ResponsesView, "responses"),
    ("responses/input_tokens", InputTokensView, "response-input-tokens"),
    ("responses/<str:response_id>", StoredResponseView, "response"),
    ("responses/<str:response_id>/cancel", CancelResponseView, "response-cancel"),
    (
        "responses/<str:response_id>/input_items",
        InputItemsView,
        "response-input-items",
    ),
    ("conversations", ConversationsView, "conversations"),
    ("conversations/<str:conversation_id>", ConversationView, "conversation"),
    (
        "conversations/<str:conversation_id>/items",
        ConversationItemsView,
        "conversation-items",
    ),
    (
        "conversations/<str:conversation_id>/items/<str:item_id>",
        ConversationItemView,
        "conversation-item",
    ),
    ("files", FilesView, "files"),
    ("files/<str:file_id>", FileView, "file"),
    ("files/<str:file_id>/content", FileContentView, "file-content"),
    ("batches", BatchesView, "batches"),
    ("batches/<str:batch_id>", BatchView, "batch"),
    ("batches/<str:batch_id>/cancel", CancelBatchView, "batch-cancel"),
    ("tokenize", TokenizeView, "tokenize"),
    ("detokenize", DetokenizeView, "detokenize"),
    ("apply-template", ApplyTemplateView, "apply-template"),
    ("messages", MessagesView, "messages"),
    ("messages/count_tokens", CountTokensView, "count-tokens"),
    ("usage", UsageView, "usage"),
    ("models", ModelsView, "models"),
    ("models/<any:model_id>/load", LoadView, "load"),
    ("models/<any:model_id>/unload", UnloadView, "unload"),
    ("models/<any:model_id>", ModelView, "model"),
)
#: Paths of other servers for the same views.
_ALIASES = ("reranking", "v1/reranking", "v2/rerank")

_unknown = UnknownRouteView.as_view(routes=tuple(route for route, _, _ in _ROUTES))

#: Pages and files have a 404 of their own.
_NO_PAGE = r"^(?!(?:admin|account)(?:/|\Z)|static/)[\s\S]*\Z"

urlpatterns = [
    *(
        path(f"v1/{route}", view.as_view(), name=name)
        for route, view, name in (*_ROUTES, *DOWNLOAD_ROUTES, *ADMIN_ROUTES)
    ),
    # /openapi.json omits what has no schema.
    *(
        path(route, view.as_view(schema=None), name=name)
        for route, view, name in _ROUTES
    ),
    *(
        path(alias, RerankView.as_view(schema=None), name="rerank")
        for alias in _ALIASES
    ),
    # Those that are off do as if they did not exist.
    *(
        path(f"api/{route}", view.as_view(unknown=_unknown), name=name)
        for route, view, name in OLLAMA_ROUTES
    ),
    re_path(_NO_PAGE, _unknown, name="unknown"),
]
