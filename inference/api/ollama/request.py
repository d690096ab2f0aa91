"""The bodies of Ollama's routes.

Source: Ollama's docs/api.md and api/types.go.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.chat.messages import MAX_CALLS
from inference.api.chat.tools import FunctionTools  # noqa: TC001
from inference.api.completions.prompts import MAX_INPUTS
from inference.api.ollama.options import GenerationBody, ModelRequestBody
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import (
    Between,
    MaxItems,
    ModelName,
    NonEmpty,
    Text,
    by_json_type,
)

_MAX_DIMENSIONS = 65_536
#: Images and sounds in base64, for models that see and hear.
_Images = Annotated[list[NonEmpty] | None, Field(max_length=1024)]
#: Only users show images.
_NoImages = Annotated[Any, Unsupported(([],))]
_Id = Annotated[str, Field(max_length=256)]


class OllamaCalledFunction(Body):
    """The function of a call, and its arguments."""

    name: SchemaName
    arguments: Annotated[dict[str, Any], AnyJson()] = {}
    index: Annotated[int, Between(0, MAX_CALLS - 1)] | None = None
    description: Text = ""


class OllamaToolCall(Body):
    """A call in an earlier answer."""

    function: OllamaCalledFunction
    id: _Id = ""
    type: Literal["function"] = "function"


class _Turn(Body):
    content: Text = ""
    images: _NoImages = None


class OllamaSystemTurn(_Turn):
    """Instructions for the model."""

    role: Literal["system"]


class OllamaUserTurn(_Turn):
    """A message of the user, with images before its text."""

    role: Literal["user"]
    images: _Images = None


class OllamaAssistantTurn(_Turn):
    """An earlier answer: text, thoughts, calls."""

    role: Literal["assistant"]
    thinking: Text | None = None
    tool_calls: Annotated[list[OllamaToolCall], Field(max_length=MAX_CALLS)] = []
    tool_name: Annotated[Any, Unsupported(("",))] = None


class OllamaToolTurn(_Turn):
    """The result of a call: that of its id, or of its name, or the first one."""

    role: Literal["tool"]
    tool_name: _Id = ""
    tool_call_id: _Id = ""


OllamaTurn = OllamaSystemTurn | OllamaUserTurn | OllamaAssistantTurn | OllamaToolTurn


class OllamaChatRequest(GenerationBody):
    """A conversation, and how to answer it. Without messages the model is loaded."""

    messages: list[Annotated[OllamaTurn, Field(discriminator="role")]] = []
    """The conversation. The configuration limits its size."""
    tools: FunctionTools = []
    """Functions that the model may call."""


class OllamaGenerateRequest(GenerationBody):
    """A text, and how to answer or continue it. Without one the model is loaded."""

    prompt: Text = ""
    """What the user says; with raw or suffix, a text to continue."""
    suffix: Text = ""
    """Text after the answer: the answer fills in the middle."""
    system: Text = ""
    """Instructions for the model."""
    raw: bool = False
    """Continue the prompt as it is, without the model's chat template."""
    images: _Images = None
    """Images in base64, which the model sees before the prompt."""
    context: Annotated[Any, Unsupported(([],), hint=" Send messages to /api/chat.")] = (
        None
    )
    template: Annotated[Any, Unsupported(("",), hint=" The model's own is used.")] = (
        None
    )


class OllamaEmbedRequest(ModelRequestBody):
    """Texts whose vectors are returned."""

    input: Annotated[
        Annotated[NonEmpty, Tag("string")]
        | Annotated[
            list[NonEmpty],
            Field(min_length=1),
            MaxItems(MAX_INPUTS, "inputs"),
            Tag("array"),
        ],
        by_json_type("a string or an array of strings"),
    ]
    """One text or several. One that is longer than the context is refused."""
    dimensions: Annotated[int, Between(1, _MAX_DIMENSIONS)] | None = None
    """Keep only the first numbers of each vector. Default: all."""


class OllamaEmbeddingsRequest(ModelRequestBody):
    """A text whose vector is returned: the former way."""

    prompt: NonEmpty
    """The text."""


class OllamaShowRequest(Body):
    """A model to describe."""

    model: ModelName | None = None
    """Id, alias or file name of a model."""
    name: ModelName | None = None
    """The former name of model."""
    verbose: Annotated[Any, Unsupported((False,), may_be_left_out=True)] = None
    system: Annotated[Any, Unsupported(("",), hint=" A model is shown as it is.")] = (
        None
    )
    template: Annotated[Any, Unsupported(("",), hint=" A model is shown as it is.")] = (
        None
    )
    options: Annotated[Any, Unsupported(({},), hint=" A model is shown as it is.")] = (
        None
    )
