"""The objects of Ollama's answers. Durations are in nanoseconds.

Source: Ollama's api/types.go.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from inference.api.error_shapes.ollama import OllamaError
from inference.api.streaming.response_objects import ContentLogprob  # noqa: TC001

OllamaCapability = Literal[
    "completion", "tools", "insert", "vision", "audio", "embedding", "thinking"
]


class OllamaFunction(TypedDict):
    """The function of a call, and its arguments."""

    index: int
    name: str
    arguments: dict[str, Any]


class OllamaCall(TypedDict):
    """A call."""

    id: str
    function: OllamaFunction


class OllamaMessage(TypedDict):
    """An answer, or a part of it."""

    role: Literal["assistant"]
    content: str
    thinking: NotRequired[str]
    tool_calls: NotRequired[list[OllamaCall]]


class OllamaCounts(TypedDict):
    """What an answer took; waiting for the model is its load_duration."""

    done_reason: NotRequired[str]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]
    prompt_eval_duration: NotRequired[int]
    eval_count: NotRequired[int]
    eval_duration: NotRequired[int]
    logprobs: NotRequired[list[ContentLogprob]]


class OllamaChat(OllamaCounts):
    """The answer of POST /api/chat, and each line of its stream."""

    model: str
    created_at: str
    message: OllamaMessage
    done: bool


class OllamaGeneration(OllamaCounts):
    """The answer of POST /api/generate, and each line of its stream."""

    model: str
    created_at: str
    response: str
    done: bool
    thinking: NotRequired[str]


class OllamaVectors(TypedDict):
    """The answer of POST /api/embed."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaVector(TypedDict):
    """The answer of POST /api/embeddings."""

    embedding: list[float]


class OllamaDetails(TypedDict):
    """What kind of model it is."""

    parent_model: str
    format: Literal["gguf"]
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(TypedDict):
    """A model."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: OllamaDetails


class OllamaModels(TypedDict):
    """The models that the key may use."""

    models: list[OllamaModel]


class OllamaDescription(TypedDict):
    """A model, and what its file says of it."""

    license: str
    parameters: str
    template: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[OllamaCapability]
    modified_at: str


class OllamaLoadedModel(TypedDict):
    """A model that is loaded; it is unloaded at expires_at if no request comes."""

    name: str
    model: str
    size: int
    digest: str
    details: OllamaDetails
    expires_at: str
    size_vram: int
    context_length: int


class OllamaLoadedModels(TypedDict):
    """The loaded models that the key may use."""

    models: list[OllamaLoadedModel]


class OllamaVersion(TypedDict):
    """The version of Ollama whose API these routes follow."""

    version: str


ANSWERS: dict[str, type] = {
    "OllamaChat": OllamaChat,
    "OllamaDescription": OllamaDescription,
    "OllamaError": OllamaError,
    "OllamaGeneration": OllamaGeneration,
    "OllamaLoadedModels": OllamaLoadedModels,
    "OllamaModels": OllamaModels,
    "OllamaVector": OllamaVector,
    "OllamaVectors": OllamaVectors,
    "OllamaVersion": OllamaVersion,
}
