"""The messages of a chat request: one pydantic model per role."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import MaxItems, Text, by_json_type

_MAX_PARTS = 1024

_Name = Annotated[str, Field(min_length=1, max_length=256)]


class TextPart(Body):
    """A text part of a message."""

    type: Literal["text"]
    text: Text


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


class CalledFunction(Body):
    """The function of a tool call, and its arguments in JSON."""

    name: SchemaName
    arguments: Text


class ToolCallParam(Body):
    """A tool call in an earlier answer."""

    id: _Name
    type: Literal["function"]
    function: CalledFunction


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
    content: Content
    name: _Name | None = None


class AssistantMessage(Body):
    """An earlier answer, as it was received: content, a refusal, or tool calls."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    name: _Name | None = None
    tool_calls: (
        Annotated[list[ToolCallParam], Field(min_length=1, max_length=128)] | None
    ) = None
    refusal: Text | None = None
    reasoning_content: Text | None = None

    annotations: Annotated[Any, Unsupported(([],))] = None
    audio: Annotated[Any, Unsupported()] = None
    function_call: Annotated[Any, Unsupported(hint=" Use 'tool_calls'.")] = None
    # A member that LiteLLM adds to answers, and that its users send back.
    provider_specific_fields: Annotated[Any, Unsupported(({}, {"refusal": None}))] = (
        None
    )


class ToolMessage(Body):
    """The result of a tool call."""

    role: Literal["tool"]
    content: Content
    name: _Name | None = None
    tool_call_id: _Name


ChatMessage = (
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage
)


def _max_messages() -> int:
    limit: int = settings.CONFIG.limits.max_messages
    return limit


Messages = Annotated[
    list[Annotated[ChatMessage, Field(discriminator="role")]],
    Field(min_length=1),
    MaxItems(_max_messages, "messages"),
]
