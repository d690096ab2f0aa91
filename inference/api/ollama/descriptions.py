"""The views' descriptions in /openapi.json."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
)

from inference.api.openapi.operations import JSON, Description, meaning_of, ref

_TAG = "Ollama's API"
_LINES = "application/x-ndjson"
_NOTE = "Only where the configuration has `api.ollama`. "
_ERRORS_OF_READS = (401, 403, 404, 405, 429, 500, 503)
_ERRORS = (400, *_ERRORS_OF_READS, 408, 413, 415)
_MODEL = {"model": "smollm2-135m-instruct"}
_HEAD = {**_MODEL, "created_at": "2026-01-01T00:00:00.000000Z"}
_COUNTS = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 412000000,
    "load_duration": 3000000,
    "prompt_eval_count": 34,
    "prompt_eval_duration": 98000000,
    "eval_count": 8,
    "eval_duration": 311000000,
}
_SAID = "Red, green and blue."


def _described(
    operation: str,
    summary: str,
    answer: str,
    shown: dict[str, Any],
    *,
    request: str = "",
    example: dict[str, Any] | None = None,
    streams: bool = False,
) -> Description:
    """Describe a route. ``streams``: its answer may be lines of the same object."""
    note = _NOTE
    if streams:
        note += (
            "The answer is a stream of lines unless `stream` is false; each is an "
            "object with a part of it, and the last one has `done`, the counts and "
            'the durations. `{"error": …}` is the last line of a stream that fails.'
        )
    whole = OpenApiResponse(
        ref(answer),
        description="The answer.",
        examples=[OpenApiExample("Whole", shown, media_type=JSON)],
    )
    lines = OpenApiResponse({"description": "Lines of JSON."})
    body: Any = None
    if request:
        examples = [OpenApiExample("Short", example)]
        body = {JSON: OpenApiRequest(ref(request), examples=examples)}
    described: Description = extend_schema(
        operation_id=operation,
        summary=summary,
        description=note,
        tags=[_TAG],
        request=body,
        responses={
            (200, JSON): whole,
            **({(200, _LINES): lines} if streams else {}),
            **{
                status: OpenApiResponse(
                    ref("OllamaError"), description=meaning_of(status)
                )
                for status in (_ERRORS if request else _ERRORS_OF_READS)
            },
        },
    )
    return described


chat_schema = _described(
    "ollamaChat",
    "Answer a conversation, in Ollama's API",
    "OllamaChat",
    {**_HEAD, "message": {"role": "assistant", "content": _SAID}, **_COUNTS},
    request="OllamaChatRequest",
    example={
        **_MODEL,
        "messages": [{"role": "user", "content": "Name three colours."}],
        "stream": False,
    },
    streams=True,
)
generate_schema = _described(
    "ollamaGenerate",
    "Answer or continue a text, in Ollama's API",
    "OllamaGeneration",
    {**_HEAD, "response": _SAID, **_COUNTS},
    request="OllamaGenerateRequest",
    example={**_MODEL, "prompt": "Name three colours.", "stream": False},
    streams=True,
)
_EMBEDDER = {"model": "all-MiniLM-L6-v2.Q8_0"}
embed_schema = _described(
    "ollamaEmbed",
    "Make vectors of texts, in Ollama's API",
    "OllamaVectors",
    {
        **_EMBEDDER,
        "embeddings": [[0.6, -0.8]],
        "total_duration": 21000000,
        "load_duration": 1000000,
        "prompt_eval_count": 8,
    },
    request="OllamaEmbedRequest",
    example={**_EMBEDDER, "input": ["The cat sits on the mat."]},
)
embeddings_schema = _described(
    "ollamaEmbeddings",
    "Make the vector of a text, in Ollama's API",
    "OllamaVector",
    {"embedding": [0.6, -0.8]},
    request="OllamaEmbeddingsRequest",
    example={**_EMBEDDER, "prompt": "The cat sits on the mat."},
)
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "135M",
    "quantization_level": "Q4_1",
}
_LISTED = {
    "name": _MODEL["model"],
    "model": _MODEL["model"],
    "size": 98000000,
    "digest": "5f0a6b1c9d2e",
    "details": _DETAILS,
}
tags_schema = _described(
    "ollamaTags",
    "List the models, in Ollama's API",
    "OllamaModels",
    {"models": [{**_LISTED, "modified_at": _HEAD["created_at"]}]},
)
ps_schema = _described(
    "ollamaPs",
    "List the loaded models, in Ollama's API",
    "OllamaLoadedModels",
    {
        "models": [
            {
                **_LISTED,
                "expires_at": _HEAD["created_at"],
                "size_vram": 0,
                "context_length": 2048,
            }
        ]
    },
)
show_schema = _described(
    "ollamaShow",
    "Describe a model, in Ollama's API",
    "OllamaDescription",
    {
        "license": "apache-2.0",
        "parameters": "temperature 0.8\ntop_p 0.95",
        "template": "{% for message in messages %}…{% endfor %}",
        "details": _DETAILS,
        "model_info": {"general.architecture": "llama"},
        "capabilities": ["completion", "tools"],
        "modified_at": _HEAD["created_at"],
    },
    request="OllamaShowRequest",
    example=_MODEL,
)
version_schema = _described(
    "ollamaVersion",
    "Say whose version of Ollama's API this is",
    "OllamaVersion",
    {"version": "0.32.8"},
)
