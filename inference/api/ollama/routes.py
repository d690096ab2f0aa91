"""The routes of Ollama's API, below /api."""

from __future__ import annotations

from inference.api.ollama.model_views import (
    OllamaPsView,
    OllamaShowView,
    OllamaTagsView,
    OllamaVersionView,
)
from inference.api.ollama.view import (
    OllamaChatView,
    OllamaEmbeddingsView,
    OllamaEmbedView,
    OllamaGenerateView,
)

ROUTES = (
    ("chat", OllamaChatView, "ollama-chat"),
    ("generate", OllamaGenerateView, "ollama-generate"),
    ("embed", OllamaEmbedView, "ollama-embed"),
    ("embeddings", OllamaEmbeddingsView, "ollama-embeddings"),
    ("tags", OllamaTagsView, "ollama-tags"),
    ("show", OllamaShowView, "ollama-show"),
    ("ps", OllamaPsView, "ollama-ps"),
    ("version", OllamaVersionView, "ollama-version"),
)
