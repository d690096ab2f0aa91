"""Tools that the host of a model runs itself: no upstream is asked for one.

It would search the web, run programs and cost money for a client of this server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    IsHosted = Callable[[Any], bool]

#: Without a tool, these choices mean nothing.
_NO_CALL = ("auto", "none")


def without_hosted(
    body: Mapping[str, Any], is_hosted: IsHosted
) -> tuple[dict[str, Any], list[str]]:
    """Return a valid body without hosted tools, and the paths of what was left out.

    Raises BadRequest where one of them would have to be called.
    """
    paths: list[str] = []
    kept = dict(body)
    if isinstance(tools := body.get("tools"), list):
        kept["tools"] = _kept(tools, "tools", is_hosted, paths)
    if isinstance(items := body.get("input"), list):
        kept["input"] = [
            {**item, "tools": _kept(tools, f"input[{index}].tools", is_hosted, paths)}
            if isinstance(item, dict) and isinstance(tools := item.get("tools"), list)
            else item
            for index, item in enumerate(items)
        ]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and isinstance(named := choice.get("tools"), list):
        left = _kept(named, "tool_choice.tools", is_hosted, paths)
        kept["tool_choice"] = {**choice, "tools": left}
        if not left:
            kept["tool_choice"] = _no_tool(choice.get("mode"))
    if body.get("mcp_servers"):
        del kept["mcp_servers"]
        paths.append("mcp_servers")
    if paths and not kept.get("tools") and "tools" in kept:
        del kept["tools"]
        if not any(
            isinstance(each, dict) and each.get("tools") for each in _items(kept)
        ):
            kept.pop("tool_choice", None)
            if choice is not None:
                _no_tool(choice.get("type") if isinstance(choice, dict) else choice)
    return kept, paths


def _kept(
    tools: list[Any], path: str, is_hosted: IsHosted, paths: list[str]
) -> list[Any]:
    """Return the tools that are not hosted; note the paths of the others."""
    paths += [f"{path}[{i}]" for i, tool in enumerate(tools) if is_hosted(tool)]
    return [tool for tool in tools if not is_hosted(tool)]


def _items(body: Mapping[str, Any]) -> list[Any]:
    items = body.get("input")
    return items if isinstance(items, list) else []


def _no_tool(mode: Any) -> str:
    """Return the choice of no tool. Raises BadRequest if one must be called."""
    if mode not in _NO_CALL:
        raise BadRequest(
            "'tool_choice' requires a call of tools that are not served here.",
            param="tool_choice",
        )
    return "none"
