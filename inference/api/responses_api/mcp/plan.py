"""What a response may call: servers, their tools, and calls that have leave already."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from inference.api.responses_api.body.called_tools import CalledTool
from inference.api.responses_api.body.mcp_items import Approvals, McpList
from inference.api.responses_api.body.mcp_tool import MAX_TOOLS, McpTool
from inference.api.responses_api.mcp.client import list_tools
from inference.api.responses_api.mcp.errors import McpFailed
from inference.api.responses_api.mcp.servers import mcp_servers
from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.mcp_items import McpApprovalRequest
    from inference.api.responses_api.body.request import ResponseTask
    from inference.api.responses_api.mcp.servers import McpServer

Tools = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class McpPlan:
    """The servers of a request, by their labels, and what is known of their tools.

    ``asked`` are the labels of those whose tools are items of this response;
    ``approved`` the calls that are made first; ``max_calls`` is for all of it.
    """

    servers: Mapping[str, McpServer] = field(default_factory=dict)
    tools: Tools = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    approved: tuple[McpApprovalRequest, ...] = ()
    max_calls: int = 0

    def unlisted(self) -> list[McpServer]:
        """Return the servers that have to be asked for their tools."""
        return [
            server for label, server in self.servers.items() if label not in self.tools
        ]

    async def listed(self) -> McpPlan:
        """Return the plan with the tools of all servers. Raises McpFailed."""
        asked = self.unlisted()
        answers = await asyncio.gather(
            *(list_tools(each, most=MAX_TOOLS) for each in asked),
            return_exceptions=True,
        )
        lists = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            lists.append(answer)
        labels = [each.label for each in asked]
        found = {
            label: _checked(label, tools)
            for label, tools in zip(labels, lists, strict=True)
        }
        return replace(self, tools={**self.tools, **found}, asked=tuple(labels))

    def kept(self) -> dict[str, Any]:
        """Return what a stored response keeps of it: nothing that is secret."""
        if not self.servers:
            return {}
        secret = [each.label for each in self.servers.values() if each.headers]
        # As a text: PostgreSQL does not keep the order of members, and prompts have it.
        tools = json.dumps(self.tools)
        return {"tools": tools, "asked": list(self.asked), "secret": secret}

    def as_kept(self, kept: Mapping[str, Any]) -> McpPlan:
        """Return the plan with what a stored response has kept of its tools."""
        if not self.servers:
            return self
        tools = json.loads(kept["tools"])
        return replace(self, tools=tools, asked=tuple(kept["asked"]))

    def with_tools_of(self, other: McpPlan) -> McpPlan:
        """Return the plan with the tools that another one of this request has."""
        return replace(self, tools=other.tools, asked=other.asked)

    def lists(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return the tools that are items of this response, with their labels."""
        return [(label, self.tools[label]) for label in self.asked]

    def tool_of(self, label: str, name: str) -> CalledTool:
        """Return a tool whose call the client has approved."""
        return CalledTool(name, server_label=label)


def _checked(label: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools of a server as an item may have them. Raises McpFailed."""
    try:
        item = McpList.parse(
            {"type": "mcp_list_tools", "server_label": label, "tools": tools}
        )
    except BadRequest as error:
        raise McpFailed(label, f"its tools cannot be used: {error}") from None
    return item.tools


def plan_of(
    body: ResponseTask,
    before: Sequence[tuple[InputItem, str]],
    items: Sequence[tuple[InputItem, str]],
    lost: Iterable[str] = (),
    *,
    caller: str,
) -> McpPlan:
    """Return what a request of a caller may call. Raises BadRequest.

    ``before`` and ``items`` are the conversation; the tools of a server that it has are
    not asked for again. ``lost`` are the labels of servers whose secrets are lost.
    """
    servers = mcp_servers(body.tools, lost, caller)
    known = {
        item.server_label: item.tools
        for item, _ in [*before, *items]
        if isinstance(item, McpList)
        and item.server_label in servers
        and item.error is None
        and all(isinstance(each.get("name"), str) for each in item.tools)
    }
    approved = Approvals.of([*before, *items]).to_make()
    shown = {
        tool.server_label: tool for tool in body.tools if isinstance(tool, McpTool)
    }
    for request in approved:
        tool = shown.get(request.server_label)
        if tool is None or not (
            tool.shows(request.name, is_read_only=True)
            or tool.shows(request.name, is_read_only=False)
        ):
            raise BadRequest(
                f"The call of '{quote(request.name)}' that was approved needs the MCP "
                f"server '{request.server_label}' with this tool in 'tools'.",
                param="tools",
            )
    most = config().api.mcp_max_calls
    asked_for: int = getattr(body, "max_tool_calls", None) or most
    return McpPlan(
        servers,
        known,
        approved=tuple(approved),
        max_calls=min(asked_for, most),
    )
