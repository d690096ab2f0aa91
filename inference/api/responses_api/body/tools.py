"""The members ``tools`` and ``tool_choice`` of a request for a response."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Tag

from inference.api.body.request_body import Body
from inference.api.chat.tools import MAX_TOOLS, FreeText, schema_of_object
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import NonEmpty, Text, by_json_type
from inference.api.responses_api.body.mcp_tool import McpTool

#: Tools that only OpenAI's servers run, or that its models alone were trained for.
HOSTED_TOOLS = (
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "local_shell",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
_AnySchema = Annotated[dict[str, Any], AnyJson()]


class _Named(Body):
    name: SchemaName
    description: Text = ""
    allowed_callers: Annotated[list[Literal["direct"]], Field(max_length=1)] = []
    """Only the model itself calls tools."""
    defer_loading: bool = False
    """A hint: every tool is shown at once."""
    async_: Annotated[bool, Field(alias="async")] = False
    """A hint: whether a call is waited for is the client's affair."""


class FunctionToolParam(_Named):
    """A function that the model may call."""

    type: Literal["function"]
    parameters: Annotated[_AnySchema, AfterValidator(schema_of_object)] | None = None
    """The JSON schema of the arguments. Default: no arguments."""
    strict: bool | None = None
    """Calls must match the schema. Default: if the schema can be enforced."""
    output_schema: _AnySchema | None = None
    """A hint: what the function returns."""


class GrammarFormat(Body):
    """A grammar that the input of a custom tool matches."""

    type: Literal["grammar"]
    syntax: Literal["lark", "regex"]
    definition: NonEmpty


class CustomToolParam(_Named):
    """A tool whose input is a text."""

    type: Literal["custom"]
    format: Annotated[FreeText | GrammarFormat, Field(discriminator="type")] | None = (
        None
    )


OwnTool = FunctionToolParam | CustomToolParam


class NamespaceTool(Body):
    """Tools under a common name."""

    type: Literal["namespace"]
    name: SchemaName
    description: Text = ""
    tools: Annotated[
        list[Annotated[OwnTool, Field(discriminator="type")]],
        Field(min_length=1, max_length=MAX_TOOLS),
    ]


class HostedTool(Body):
    """A tool that only OpenAI's servers run. Left out, and said."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    type: Literal[HOSTED_TOOLS]  # type: ignore[valid-type]


ToolParam = FunctionToolParam | CustomToolParam | NamespaceTool | McpTool | HostedTool


def is_hosted(value: Any) -> bool:
    """Whether a tool, as JSON, is a hosted one."""
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in HOSTED_TOOLS


def _without_settings(value: Any) -> Any:
    """Return a hosted tool as its type alone: what it is set to means nothing here."""
    return {"type": value["type"]} if is_hosted(value) else value


Tools = Annotated[
    list[
        Annotated[
            ToolParam, Field(discriminator="type"), BeforeValidator(_without_settings)
        ]
    ],
    Field(max_length=MAX_TOOLS),
]


class ChosenFunction(Body):
    """One of the functions, which must be called."""

    type: Literal["function"]
    name: SchemaName
    namespace: SchemaName | None = None


class ChosenCustom(Body):
    """One of the custom tools, which must be called."""

    type: Literal["custom"]
    name: SchemaName
    namespace: SchemaName | None = None


class ChosenMcp(Body):
    """The tools of an MCP server, or one of them; one must be called."""

    type: Literal["mcp"]
    server_label: SchemaName
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None


_Allowed = ChosenFunction | ChosenCustom | ChosenMcp | HostedTool


class ChosenTools(Body):
    """Some of ``tools``, and whether one of them must be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[
        list[
            Annotated[
                _Allowed,
                Field(discriminator="type"),
                BeforeValidator(_without_settings),
            ]
        ],
        Field(min_length=1, max_length=MAX_TOOLS),
    ]


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[
        Annotated[
            ChosenFunction | ChosenCustom | ChosenMcp | ChosenTools,
            Field(discriminator="type"),
        ],
        Tag("object"),
    ],
    by_json_type("a string or an object"),
]
