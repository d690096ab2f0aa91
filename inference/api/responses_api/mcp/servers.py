"""Which MCP servers may be called, and what a request says of one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from inference.api.errors import BadRequest
from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote
from registry.hub.network import NetworkPolicy, host_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.api.responses_api.body.mcp_tool import McpTool
    from inference.api.responses_api.body.tools import ToolParam

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
#: What a field's value may have: RFC 9110's visible characters, spaces and tabs.
_VALUE = re.compile(r"[\t\x20-\x7e]{0,8192}")
#: Headers that the connection has itself, or the protocol.
_RESERVED = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server that a request names. ``headers`` are secrets.

    ``caller`` is the key whose request it is.
    ``has_lost_secrets``: the request had some, and the process that knew them is gone.
    """

    label: str
    url: str
    policy: NetworkPolicy
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_lost_secrets: bool = False
    caller: str = ""


def mcp_tools(tools: Iterable[ToolParam]) -> list[tuple[McpTool, str]]:
    """Return the MCP servers among tools, with their paths."""
    from inference.api.responses_api.body.mcp_tool import McpTool

    return [
        (tool, f"tools[{index}]")
        for index, tool in enumerate(tools)
        if isinstance(tool, McpTool)
    ]


def mcp_servers(
    tools: Iterable[ToolParam], lost: Iterable[str] = (), caller: str = ""
) -> dict[str, McpServer]:
    """Return the servers that a request of a caller names, by their labels.

    ``lost`` are the labels of those whose secrets are lost. Raises BadRequest for one
    that may not be called.
    """
    found: dict[str, McpServer] = {}
    for tool, path in mcp_tools(tools):
        if not config().api.mcp_servers:
            raise BadRequest(
                f"Unsupported value: '{path}.type' is 'mcp', and this server calls no "
                "MCP servers (api.mcp_servers). Give the tools of the server as "
                "functions.",
                param=f"{path}.type",
                code="unsupported_parameter",
            )
        if tool.server_label in found:
            raise BadRequest(
                f"Invalid value for '{path}.server_label': another server has it.",
                param=f"{path}.server_label",
            )
        url = tool.server_url
        if url is None:
            raise BadRequest(
                f"Missing required parameter: '{path}.server_url'.",
                param=f"{path}.server_url",
                code="missing_required_parameter",
            )
        found[tool.server_label] = McpServer(
            tool.server_label,
            url,
            _policy(url, f"{path}.server_url"),
            _headers(tool, path),
            has_lost_secrets=tool.server_label in lost,
            caller=caller,
        )
    return found


def _policy(url: str, path: str) -> NetworkPolicy:
    """Return whom the client of a server may connect to. Raises BadRequest."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise BadRequest(
            f"Invalid value for '{path}': it is no URL.", param=path
        ) from (None)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadRequest(
            f"Invalid value for '{path}': it must have no user name and no fragment; "
            "send 'authorization' or 'headers'.",
            param=path,
        )
    for entry in config().api.mcp_servers:
        if "://" in entry:
            if _place(urlsplit(entry)) == _place(parts):
                return NetworkPolicy((host,), is_private_permitted=True)
        elif parts.scheme == "https" and host_matches(host, entry):
            return NetworkPolicy((entry,), section="api")
    raise BadRequest(
        f"Invalid value for '{path}': the MCP server '{quote(host)}' may not be called "
        "from here (api.mcp_servers).",
        param=path,
        code="mcp_server_not_permitted",
    )


def _place(parts: SplitResult) -> tuple[str, str, int, str]:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")


def _headers(tool: McpTool, path: str) -> dict[str, str]:
    """Return the headers of a server's requests. Raises BadRequest, without values."""
    found: dict[str, str] = {}
    for name, secret in tool.headers.items():
        value = secret.get_secret_value()
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise BadRequest(
                f"Invalid value for '{path}.headers': a header '{quote(name)}' cannot "
                "be sent.",
                param=f"{path}.headers",
            )
        if not _VALUE.fullmatch(value):
            raise BadRequest(
                f"Invalid value for '{path}.headers': the value of '{name}' is no "
                "value of a header.",
                param=f"{path}.headers",
            )
        found[name] = value
    if tool.authorization is None:
        return found
    if any(name.lower() == "authorization" for name in found):
        raise BadRequest(
            f"'{path}.authorization' and '{path}.headers' both have an authorization; "
            "send one.",
            param=f"{path}.authorization",
        )
    token = tool.authorization.get_secret_value()
    if not _VALUE.fullmatch(token):
        raise BadRequest(
            f"Invalid value for '{path}.authorization': it is no value of a header.",
            param=f"{path}.authorization",
        )
    return {**found, "Authorization": f"Bearer {token}"}
