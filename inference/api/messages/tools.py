"""The members ``tools`` and ``tool_choice`` of Anthropic's request."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.body.validation_errors import broken_rule
from inference.api.chat.tools import schema_of_object
from inference.api.messages.blocks import ContentBlock
from inference.api.messages.client_tools import CLIENT_TOOLS
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.value_types import Text  # noqa: TC001
from llm_manager.lib.quoting import quote

#: Agents with many MCP servers send hundreds; their size is limited, too.
MAX_TOOLS = 512
#: The beginnings of the types of tools that only Anthropic's host runs.
_HOSTED = (
    "web_search",
    "web_fetch",
    "code_execution",
    "tool_search_tool",
    "advisor",
    "mcp_toolset",
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise broken_rule("only a-z, A-Z, 0-9, underscores and dashes are allowed")
    return value


ToolName = Annotated[
    str,
    Field(min_length=1, max_length=128),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
#: Who may call a tool: the model itself, or a program that only a host runs.
_Callers = Annotated[Any, Unsupported((["direct"],))]


class _ClientTool(ContentBlock):
    defer_loading: bool = False
    """The model sees the tool only once a tool_reference or tool_addition names it."""
    strict: bool = False
    """Calls must match the schema."""
    allowed_callers: _Callers = None
    input_examples: Annotated[
        list[Annotated[dict[str, Any], AnyJson()]], Field(max_length=64)
    ] = []
    """Examples of inputs; the model sees them below the description."""


class CustomTool(_ClientTool):
    """A tool of the client's own."""

    type: Literal["custom"] = "custom"
    name: ToolName
    description: Text = ""
    input_schema: Annotated[dict[str, Any], AnyJson(), AfterValidator(schema_of_object)]
    """The JSON schema of the input."""
    eager_input_streaming: bool = False
    """Accepted: inputs are always streamed as they are written."""


class KnownTool(_ClientTool):
    """A tool that Anthropic defines and the client runs: bash, text editor, memory."""

    type: Literal[tuple(CLIENT_TOOLS)]  # type: ignore[valid-type]
    name: ToolName
    max_characters: Annotated[int, Field(ge=1)] | None = None


def _hosted(value: Any) -> Any:
    kind = value.get("type")
    if not isinstance(kind, str) or not kind.startswith(_HOSTED):
        raise broken_rule(
            f"'{quote(str(kind))}' is no type of tool that this server knows", ".type"
        )
    return value


def _kind_of(value: Any) -> str | None:
    if not isinstance(value, dict | Body):
        return None
    kind = (
        value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    )
    if kind is None or kind == "custom":
        return "custom"
    is_known = isinstance(kind, str) and kind in CLIENT_TOOLS
    return "known" if is_known else "hosted"


def is_hosted(value: Any) -> bool:
    """Whether a valid tool, as JSON, is one that only Anthropic's host runs."""
    return _kind_of(value) == "hosted"


#: A tool that only Anthropic's host runs; it is left out.
HostedTool = Annotated[
    dict[str, Any],
    PlainValidator(_hosted, json_schema_input_type=dict[str, Any]),
]
Tools = Annotated[
    list[
        Annotated[
            Annotated[CustomTool, Tag("custom")]
            | Annotated[KnownTool, Tag("known")]
            | Annotated[HostedTool, Tag("hosted")],
            Discriminator(
                _kind_of,
                custom_error_type="wrong_type",
                custom_error_message="an object",
            ),
        ]
    ],
    Field(max_length=MAX_TOOLS),
]


class _Choice(Body):
    disable_parallel_tool_use: bool = False
    """At most one call in an answer."""


class AutoChoice(_Choice):
    """The model decides."""

    type: Literal["auto"]


class AnyChoice(_Choice):
    """The model must call a tool."""

    type: Literal["any"]


class NamedChoice(_Choice):
    """The model must call this tool."""

    type: Literal["tool"]
    name: ToolName


class NoChoice(_Choice):
    """The model may call none."""

    type: Literal["none"]


ToolChoiceObject = Annotated[
    AutoChoice | AnyChoice | NamedChoice | NoChoice, Field(discriminator="type")
]
