"""The schemas of requests in /openapi.json, each in one piece."""

from __future__ import annotations

import functools
from typing import Any

from llm_manager.web.openapi_schemas import component_schemas

#: The route of each request, and its schema's name.
REQUESTS = {
    "/v1/chat/completions": "ChatCompletionRequest",
    "/v1/completions": "CompletionRequest",
    "/v1/responses": "ResponseRequest",
    "/v1/responses/input_tokens": "InputTokensRequest",
    "/v1/embeddings": "EmbeddingRequest",
    "/v1/rerank": "RerankRequest",
    "/v1/tokenize": "TokenizeRequest",
    "/v1/detokenize": "DetokenizeRequest",
    "/v1/apply-template": "ApplyTemplateRequest",
}
#: Routes of other shapes: Anthropic's, Ollama's, and what has no model.
OTHER_REQUESTS = {
    "/v1/messages": "MessagesRequest",
    "/v1/messages/count_tokens": "CountTokensRequest",
    "/v1/batches": "BatchRequest",
    "/api/chat": "OllamaChatRequest",
    "/api/generate": "OllamaGenerateRequest",
    "/api/embed": "OllamaEmbedRequest",
    "/api/embeddings": "OllamaEmbeddingsRequest",
    "/api/show": "OllamaShowRequest",
}


@functools.cache
def request_schema(name: str) -> dict[str, Any]:
    """Return the named schema, with what it refers to in place of the references."""
    schemas = component_schemas({})
    whole: dict[str, Any] = _resolved(schemas[name], schemas)
    return whole


def _resolved(schema: Any, schemas: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_resolved(each, schemas) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        target = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return {**_resolved(target, schemas), **rest}
    return {name: _resolved(each, schemas) for name, each in schema.items()}
