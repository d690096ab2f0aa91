"""The items of ``input``: messages, and what earlier answers were made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Tag, TypeAdapter

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.chat.messages import max_messages
from inference.api.media.parts import Detail
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import MaxItems, NonEmpty, Text, by_json_type
from inference.api.responses_api.body.mcp_items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpList,
)
from inference.api.responses_api.body.tools import Tools

_MAX_PARTS = 1024

_Id = Annotated[str, Field(min_length=1, max_length=256)]
_Status = Literal["in_progress", "completed", "incomplete"]

#: What a client got from another server's own tools and sends back with the rest.
HOSTED_ITEMS = (
    "code_interpreter_call",
    "file_search_call",
    "image_generation_call",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)


class InputText(Body):
    """A text part of a message, or of what a tool returned."""

    type: Literal["input_text"]
    text: Text
    prompt_cache_breakpoint: Annotated[dict[str, Any], AnyJson(1024)] | None = None
    """Accepted: prefixes are always cached."""


class InputImage(Body):
    """An image in a message, or in what a tool returned."""

    type: Literal["input_image"]
    image_url: NonEmpty
    detail: Detail | None = None
    file_id: Annotated[Any, Unsupported()] = None
    prompt_cache_breakpoint: Annotated[dict[str, Any], AnyJson(1024)] | None = None


class OutputText(Body):
    """A text part of an earlier answer, as it was received."""

    type: Literal["output_text"]
    text: Text
    annotations: list[Any] = []
    logprobs: list[Any] = []


class Refusal(Body):
    """A refusal in an earlier answer."""

    type: Literal["refusal"]
    refusal: Text


_BY_JSON_TYPE = by_json_type("a string or an array of content parts")
_Parts = Annotated[
    list[
        Annotated[
            InputText | InputImage | OutputText | Refusal, Field(discriminator="type")
        ]
    ],
    Field(max_length=_MAX_PARTS),
]


class _Item(Body):
    id: Annotated[str, Field(max_length=256)] | None = None
    status: _Status | None = None


class InputMessage(_Item):
    """A message of any role. ``type`` may be left out."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[
        Annotated[Text, Tag("string")] | Annotated[_Parts, Tag("array")],
        _BY_JSON_TYPE,
    ]
    phase: Literal["commentary", "final_answer"] | None = None
    """Accepted; no model here knows phases."""


class ItemCaller(Body):
    """Who made a call: the model itself."""

    type: Literal["direct"]


class EarlierCall(_Item):
    """A call of a function in an earlier answer."""

    type: Literal["function_call"]
    call_id: _Id
    name: SchemaName
    namespace: SchemaName | None = None
    arguments: Text
    caller: ItemCaller | None = None
    async_: bool | None = Field(None, alias="async")


class EarlierCustomCall(_Item):
    """A call of a custom tool in an earlier answer."""

    type: Literal["custom_tool_call"]
    call_id: _Id
    name: SchemaName
    namespace: SchemaName | None = None
    input: Text
    caller: ItemCaller | None = None
    async_: bool | None = Field(None, alias="async")


class _Result(_Item):
    call_id: _Id
    output: Annotated[
        Annotated[Text, Tag("string")]
        | Annotated[
            list[Annotated[InputText | InputImage, Field(discriminator="type")]],
            Field(max_length=_MAX_PARTS),
            Tag("array"),
        ],
        _BY_JSON_TYPE,
    ]
    name: Annotated[str, Field(max_length=256)] | None = None
    namespace: Annotated[str, Field(max_length=256)] | None = None
    caller: ItemCaller | None = None


class CallResult(_Result):
    """What a function returned."""

    type: Literal["function_call_output"]


class CustomCallResult(_Result):
    """What a custom tool returned."""

    type: Literal["custom_tool_call_output"]


class SummaryText(Body):
    """A part of a summary of reasoning."""

    type: Literal["summary_text"]
    text: Text


class ReasoningText(Body):
    """A part of reasoning."""

    type: Literal["reasoning_text", "text"]
    text: Text


class EarlierReasoning(_Item):
    """The reasoning of an earlier answer: in clear, encrypted by this server, or as
    its summary."""

    type: Literal["reasoning"]
    summary: Annotated[list[SummaryText], Field(max_length=_MAX_PARTS)] = []
    content: Annotated[list[ReasoningText], Field(max_length=_MAX_PARTS)] = []
    encrypted_content: NonEmpty | None = None


class ItemReference(Body):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"]
    id: _Id


class AdditionalTools(Body):
    """Tools that come with the conversation, beside those of the request."""

    type: Literal["additional_tools"]
    id: _Id | None = None
    role: Literal["developer"]
    tools: Tools


class HostedItem(Body):
    """What a tool of another server did. Left out, and said."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    type: Literal[HOSTED_ITEMS]  # type: ignore[valid-type]


InputItem = (
    InputMessage
    | EarlierCall
    | CallResult
    | EarlierCustomCall
    | CustomCallResult
    | EarlierReasoning
    | ItemReference
    | AdditionalTools
    | McpList
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | HostedItem
)


def _typed(value: Any) -> Any:
    """Return an item with its type, which a message need not have.

    Of what is left out only the type is looked at.
    """
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if kind is None and ("role" in value or "content" in value):
        return {**value, "type": "message"}
    if kind is None and set(value) == {"id"}:
        return {**value, "type": "item_reference"}
    if isinstance(kind, str) and kind in HOSTED_ITEMS:
        return {"type": kind}
    return value


_AnyItem = Annotated[InputItem, Field(discriminator="type"), BeforeValidator(_typed)]
Items = Annotated[
    list[_AnyItem],
    MaxItems(max_messages, "items"),
]
ITEM: TypeAdapter[InputItem] = TypeAdapter(_AnyItem)
#: Reads items that were checked before, such as those of a stored response.
ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(Items)
Input = Annotated[
    Annotated[Text, Tag("string")] | Annotated[Items, Tag("array")],
    by_json_type("a string or an array of items"),
]
