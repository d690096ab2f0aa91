"""The messages of a chat request: one pydantic model per role."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.media.parts import AudioPart, ImagePart
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import Between, MaxItems, Text, by_json_type
from inference.api.streaming.text_inputs import INPUT
from llm_manager.config.in_force import config

_MAX_PARTS = 1024
MAX_CALLS = 128

_Name = Annotated[str, Field(min_length=1, max_length=256)]


class TextPart(Body):
    """A text part of a message."""

    type: Literal["text"]
    text: Text
    # Anthropic's hint, which agents send to every server: prefixes are always cached.
    cache_control: Annotated[Any, Unsupported(({"type": "ephemeral"},))] = None


class RefusalPart(Body):
    """A refusal in an assistant's message."""

    type: Literal["refusal"]
    refusal: Text


_BY_JSON_TYPE = by_json_type("a string or an array of content parts")
Content = Annotated[
    Annotated[Text, Tag("string")]
    | Annotated[
        list[TextPart], Field(min_length=1, max_length=_MAX_PARTS), Tag("array")
    ],
    _BY_JSON_TYPE,
]
#: The text of an assistant's message may be a refusal.
AssistantContent = Annotated[
    Annotated[Text, Tag("string")]
    | Annotated[
        list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]],
        Field(min_length=1, max_length=_MAX_PARTS),
        Tag("array"),
    ],
    _BY_JSON_TYPE,
]


_SeenPart = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]
#: What a user says and shows.
UserContent = Annotated[
    Annotated[Text, Tag("string")]
    | Annotated[
        list[_SeenPart], Field(min_length=1, max_length=_MAX_PARTS), Tag("array")
    ],
    _BY_JSON_TYPE,
]
#: What a tool returned: it may be nothing at all.
ToolContent = Annotated[
    Annotated[Text, Tag("string")]
    | Annotated[list[_SeenPart], Field(max_length=_MAX_PARTS), Tag("array")],
    _BY_JSON_TYPE,
]


class CalledFunction(Body):
    """The function of a call, and its arguments: JSON, or an object."""

    name: SchemaName
    arguments: Annotated[
        Annotated[Text, Tag("string")]
        | Annotated[dict[str, Any], AnyJson(), Tag("object")],
        by_json_type("a string or an object"),
    ] = ""


class CalledCustom(Body):
    """The custom tool of a call, and its input."""

    name: SchemaName
    input: Text = ""


class CustomCallParam(Body):
    """A call of a custom tool in an earlier answer."""

    id: _Name
    type: Literal["custom"]
    custom: CalledCustom
    index: Annotated[int, Between(0, MAX_CALLS - 1)] | None = None

    @property
    def function(self) -> CalledFunction:
        """The function that the model has called."""
        arguments = json.dumps({INPUT: self.custom.input}, ensure_ascii=False)
        return CalledFunction.model_construct(
            name=self.custom.name, arguments=arguments
        )


class ToolCallParam(Body):
    """A tool call in an earlier answer."""

    id: _Name
    type: Literal["function"] = "function"
    function: CalledFunction
    # Clients that put an answer together from its chunks send their numbers back.
    index: Annotated[int, Between(0, MAX_CALLS - 1)] | None = None


def _kind_of_call(value: Any) -> str:
    # No name of a member, which a fault's place would then have twice.
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", "")
    return "of a custom tool" if kind == "custom" else "of a function"


_Call = Annotated[
    Annotated[ToolCallParam, Tag("of a function")]
    | Annotated[CustomCallParam, Tag("of a custom tool")],
    Discriminator(_kind_of_call),
]


class SystemMessage(Body):
    """Instructions for the model."""

    role: Literal["system"]
    content: Content
    name: _Name | None = None


class DeveloperMessage(Body):
    """Instructions for the model; the newer name of the system message."""

    role: Literal["developer"]
    content: Content
    name: _Name | None = None


class UserMessage(Body):
    """A message of the user."""

    role: Literal["user"]
    content: UserContent
    name: _Name | None = None


class AssistantMessage(Body):
    """An earlier answer, as it was received: content, a refusal, calls, or nothing."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    name: _Name | None = None
    tool_calls: Annotated[list[_Call], Field(max_length=MAX_CALLS)] = []
    function_call: CalledFunction | None = None
    """OpenAI's former member for one call; a message of role function answers it."""
    refusal: Text | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None
    """vLLM's and OpenRouter's name for reasoning_content."""

    annotations: Annotated[Any, Unsupported(([],))] = None
    audio: Annotated[Any, Unsupported()] = None
    # A member that LiteLLM adds to answers, and that its users send back.
    provider_specific_fields: Annotated[Any, Unsupported(({}, {"refusal": None}))] = (
        None
    )


class ToolMessage(Body):
    """The result of a tool call."""

    role: Literal["tool"]
    content: ToolContent = ""
    name: _Name | None = None
    tool_call_id: _Name


class FunctionMessage(Body):
    """The result of a function_call: OpenAI's former role."""

    role: Literal["function"]
    content: ToolContent = ""
    name: _Name


ChatMessage = (
    SystemMessage
    | DeveloperMessage
    | UserMessage
    | AssistantMessage
    | ToolMessage
    | FunctionMessage
)


def max_messages() -> int:
    """Return how many messages a request may have."""
    limit: int = config().limits.max_messages
    return limit


Messages = Annotated[
    list[Annotated[ChatMessage, Field(discriminator="role")]],
    Field(min_length=1),
    MaxItems(max_messages, "messages"),
]
