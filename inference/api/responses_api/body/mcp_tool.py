"""An MCP server among ``tools``, and which of its tools a call needs leave for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import NonEmpty, Text, by_json_type

#: The most tools of one server.
MAX_TOOLS = 128

_ToolName = Annotated[str, Field(min_length=1, max_length=256)]
_Names = Annotated[list[_ToolName], Field(max_length=MAX_TOOLS)]
_HOSTED_ONLY = Unsupported(hint=" Only OpenAI's servers have it.")


class McpToolFilter(Body):
    """Some tools of a server: those with these names, and those that only read."""

    tool_names: _Names | None = None
    read_only: bool | None = None
    """Tools whose server says so, or the others."""

    def has(self, name: str, *, is_read_only: bool) -> bool:
        """Whether a tool is one of them."""
        if self.tool_names is not None and name not in self.tool_names:
            return False
        return self.read_only is None or self.read_only == is_read_only


class McpApproval(Body):
    """Which tools need the client's leave for each call."""

    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(Body):
    """An MCP server, whose tools are called from here. Needs api.mcp_servers."""

    type: Literal["mcp"]
    """What it is."""
    server_label: SchemaName
    """A name for it in this conversation."""
    server_url: NonEmpty | None = None
    """Its address, by streamable HTTP. Required."""
    server_description: Text | None = None
    """A hint: what the server is for."""
    authorization: SecretStr | None = None
    """A token that is sent to it as a bearer; it is neither stored nor shown."""
    headers: Annotated[dict[str, SecretStr], Field(max_length=32)] = {}
    """Headers that are sent to it; they are neither stored nor shown."""
    allowed_tools: (
        Annotated[
            Annotated[_Names, Tag("array")] | Annotated[McpToolFilter, Tag("object")],
            by_json_type("an array of names or an object"),
        ]
        | None
    ) = None
    """The tools that the model is shown. Default: all."""
    require_approval: (
        Annotated[
            Annotated[Literal["always", "never"], Tag("string")]
            | Annotated[McpApproval, Tag("object")],
            by_json_type("a string or an object"),
        ]
        | None
    ) = None
    """Whether a call waits for the client's leave. Default: always."""
    connector_id: Annotated[Any, _HOSTED_ONLY] = None
    tunnel_id: Annotated[Any, _HOSTED_ONLY] = None
    allowed_callers: Annotated[list[Literal["direct"]], Field(max_length=1)] = []
    """Only the model itself calls tools."""
    defer_loading: bool = False
    """A hint: every tool is shown at once."""

    def shows(self, name: str, *, is_read_only: bool) -> bool:
        """Whether the model is shown a tool of the server."""
        allowed = self.allowed_tools
        if isinstance(allowed, McpToolFilter):
            return allowed.has(name, is_read_only=is_read_only)
        return allowed is None or name in allowed

    def needs_approval(self, name: str, *, is_read_only: bool) -> bool:
        """Whether a call of a tool waits for the client's leave."""
        rule = self.require_approval
        if not isinstance(rule, McpApproval):
            return rule != "never"
        if rule.always is not None and rule.always.has(name, is_read_only=is_read_only):
            return True
        return rule.never is None or not rule.never.has(name, is_read_only=is_read_only)

    def shown(self) -> dict[str, Any]:
        """Return it as a response shows it: without what is secret."""
        about = self.model_dump(
            include={"allowed_tools", "require_approval"}, exclude_none=True
        )
        shown = {
            "type": "mcp",
            "allowed_tools": about.get("allowed_tools"),
            "headers": None,
            "require_approval": about.get("require_approval", "always"),
            "server_label": self.server_label,
            "server_url": self.server_url,
        }
        if self.server_description is not None:
            shown["server_description"] = self.server_description
        return shown


def without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request for a response, as JSON, without the secrets of its servers."""
    tools = [
        {name: each[name] for name in each if name not in ("authorization", "headers")}
        if each.get("type") == "mcp"
        else each
        for each in body.get("tools", [])
    ]
    return {**body, "tools": tools} if tools else body
