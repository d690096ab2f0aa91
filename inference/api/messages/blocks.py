"""The content blocks of Anthropic's messages: one pydantic model per type."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.value_types import NonEmpty, Text, by_json_type

MAX_BLOCKS = 4096

_Id = Annotated[str, Field(min_length=1, max_length=256)]
_Block = TypeVar("_Block")
#: A text, or an array of blocks of these types.
_TextOrBlocks = Annotated[
    Annotated[Text, Tag("string")]
    | Annotated[
        list[Annotated[_Block, Field(discriminator="type")]],
        Field(max_length=MAX_BLOCKS),
        Tag("array"),
    ],
    by_json_type("a string or an array of content blocks"),
]


class CacheControl(Body):
    """Where a prefix may end that is worth keeping. Prefixes are always kept here."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


def has_longer_ttl(control: CacheControl | None) -> bool:
    """Return whether a prefix should be kept longer than others."""
    return control is not None and control.ttl != "5m"


class ContentBlock(Body):
    """What every block may have."""

    cache_control: CacheControl | None = None


class TextBlock(ContentBlock):
    """A text."""

    type: Literal["text"]
    text: Text
    # Of an answer that another server gave.
    citations: Annotated[list[Any], Field(max_length=MAX_BLOCKS)] = []


class Base64Image(Body):
    """The bytes of an image."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: Text


class UrlImage(Body):
    """The address of an image."""

    type: Literal["url"]
    url: NonEmpty


class FileImage(Body):
    """An uploaded image."""

    type: Literal["file"]
    file_id: _Id


class ImageBlock(ContentBlock):
    """An image, for models that see."""

    type: Literal["image"]
    source: Annotated[Base64Image | UrlImage | FileImage, Field(discriminator="type")]


class PlainText(Body):
    """A document's text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: Text


class DocumentParts(Body):
    """A document's text, as it is or in blocks."""

    type: Literal["content"]
    content: _TextOrBlocks[TextBlock | ImageBlock]


class Base64Document(Body):
    """The bytes of a PDF file."""

    type: Literal["base64"]
    media_type: Text
    data: Text


class UrlDocument(Body):
    """The address of a PDF file."""

    type: Literal["url"]
    url: Text


class FileDocument(Body):
    """An uploaded file."""

    type: Literal["file"]
    file_id: _Id


#: Whether an answer should cite: it cannot.
_NoCitations = Annotated[Any, Unsupported(({}, {"enabled": False}))]


class DocumentBlock(ContentBlock):
    """A document, as text."""

    type: Literal["document"]
    source: Annotated[
        PlainText | DocumentParts | Base64Document | UrlDocument | FileDocument,
        Field(discriminator="type"),
    ]
    title: Text = ""
    context: Text = ""
    citations: _NoCitations = None


class SearchResultBlock(ContentBlock):
    """A text that the client's own search has found."""

    type: Literal["search_result"]
    source: Text
    title: Text
    content: Annotated[list[TextBlock], Field(max_length=MAX_BLOCKS)]
    citations: _NoCitations = None


class ThinkingBlock(Body):
    """The model's thoughts in an earlier answer, with this server's signature."""

    type: Literal["thinking"]
    thinking: Text
    signature: Text = ""


class RedactedThinkingBlock(Body):
    """Thoughts in an earlier answer of another server, which only that can read."""

    type: Literal["redacted_thinking"]
    data: Text


class ToolUseBlock(ContentBlock):
    """A call of a tool in an earlier answer."""

    type: Literal["tool_use"]
    id: _Id
    name: Annotated[str, Field(min_length=1, max_length=200)]
    input: Annotated[dict[str, Any], AnyJson()]
    caller: Annotated[Any, Unsupported(({"type": "direct"},))] = None
    toolset_name: Annotated[Any, Unsupported()] = None


class ToolReferenceBlock(ContentBlock):
    """A tool with ``defer_loading`` that the client's own search has found."""

    type: Literal["tool_reference"]
    tool_name: _Id


class ToolResultBlock(ContentBlock):
    """What a tool returned; it may be nothing at all."""

    type: Literal["tool_result"]
    tool_use_id: _Id
    content: _TextOrBlocks[
        TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock
    ] = ""
    is_error: bool = False
    toolset_name: Annotated[Any, Unsupported()] = None


class NamedToolReference(Body):
    """One of ``tools``, by its name."""

    type: Literal["tool_reference"]
    name: _Id


class ToolAdditionBlock(ContentBlock):
    """From here on the model may call this tool."""

    type: Literal["tool_addition"]
    tool: NamedToolReference


class ToolRemovalBlock(ContentBlock):
    """From here on the model may not call this tool."""

    type: Literal["tool_removal"]
    tool: NamedToolReference


class SystemBlock(ContentBlock):
    """Instructions in the middle of a conversation."""

    type: Literal["mid_conv_system"]
    content: Annotated[
        list[
            Annotated[
                TextBlock | ToolAdditionBlock | ToolRemovalBlock,
                Field(discriminator="type"),
            ]
        ],
        Field(max_length=MAX_BLOCKS),
    ]


UserBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolResultBlock
    | SystemBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
)
AssistantBlock = TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock
InstructionBlock = TextBlock | SystemBlock | ToolAdditionBlock | ToolRemovalBlock

_Blocks = Field(max_length=MAX_BLOCKS)


class UserTurn(Body):
    """What the user says, and what tools returned."""

    role: Literal["user"]
    content: _TextOrBlocks[UserBlock]


class AssistantTurn(Body):
    """An earlier answer, as it was received, or the beginning of the next one."""

    role: Literal["assistant"]
    content: _TextOrBlocks[AssistantBlock]


class SystemTurn(Body):
    """Instructions in the middle of a conversation."""

    role: Literal["system"]
    clear_at: Literal["next_user_message", "never"] = "never"
    """Until when the model sees it."""
    output_config: Annotated[Any, Unsupported(({},), may_be_left_out=True)] = None
    content: _TextOrBlocks[InstructionBlock]


Turn = UserTurn | AssistantTurn | SystemTurn
SystemPrompt = Annotated[
    Annotated[Text, Tag("string")] | Annotated[list[TextBlock], _Blocks, Tag("array")],
    by_json_type("a string or an array of text blocks"),
]
