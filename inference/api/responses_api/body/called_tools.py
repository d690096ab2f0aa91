"""The tools of a request as functions of a chat, and their calls as they were named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.api.chat.tools import text_function
from inference.api.errors import BadRequest
from inference.api.responses_api.body.items import AdditionalTools
from inference.api.responses_api.body.mcp_items import function_name
from inference.api.responses_api.body.mcp_tool import McpTool
from inference.api.responses_api.body.tools import (
    ChosenMcp,
    ChosenTools,
    CustomToolParam,
    FunctionToolParam,
    GrammarFormat,
    HostedTool,
    NamespaceTool,
)
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inference.api.chat.tools import TextFunction
    from inference.api.preparing.paths import Paths
    from inference.api.responses_api.body.items import InputItem
    from inference.api.responses_api.body.tools import (
        ChosenCustom,
        ChosenFunction,
        OwnTool,
        ToolChoice,
        ToolParam,
    )

_MAX_NAME = 64
#: The paths of a request's own tools begin so.
_OF_REQUEST = "tools["


@dataclass(frozen=True, slots=True)
class CalledTool:
    """What a call names: a tool, perhaps in a namespace."""

    name: str
    namespace: str | None = None
    is_custom: bool = False
    #: The MCP server that has it, and whether a call waits for the client's leave.
    server_label: str | None = None
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of a chat, and the tool that each of them is, by name.

    ``effective`` are the request's own, as the response shows them; ``hosted``
    are the paths of those that are not.
    """

    functions: list[dict[str, Any]] = field(default_factory=list)
    tools: dict[str, CalledTool] = field(default_factory=dict)
    effective: list[dict[str, Any]] = field(default_factory=list)
    hosted: list[str] = field(default_factory=list)
    #: Whether a tool's strictness was left to the server.
    has_open: bool = False


def flat_name(name: str, namespace: str | None) -> str:
    """Return the name of a function in a chat, which knows no namespaces."""
    return name if namespace is None else f"{namespace}__{name}"


def tools_of(
    tools: Iterable[ToolParam], items: Iterable[tuple[InputItem, str]]
) -> Iterator[tuple[ToolParam, str]]:
    """Yield the tools of a request and of its items, each once, with its path."""
    own = [(tool, f"{_OF_REQUEST}{index}]") for index, tool in enumerate(tools)]
    added = [
        (tool, f"{path}.tools[{index}]")
        for item, path in items
        if isinstance(item, AdditionalTools)
        for index, tool in enumerate(item.tools)
    ]
    seen: list[ToolParam] = [tool for tool, _ in own]
    yield from own
    for tool, path in added:
        # An agent may send what a stored conversation has already.
        if tool not in seen:
            seen.append(tool)
            yield tool, path


def functions_of(
    tools: Iterable[tuple[ToolParam, str]],
    paths: Paths,
    listed: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    strict_by_default: bool,
) -> Functions:
    """Return the functions of a chat. ``tools`` have their paths. Raises BadRequest.

    ``listed`` are the tools of MCP servers, by their labels.
    """
    found = Functions()
    has_open = False
    for tool, path in tools:
        if isinstance(tool, HostedTool):
            found.hosted.append(path)
            continue
        if isinstance(tool, McpTool):
            _add_server(tool, path, paths, listed.get(tool.server_label, ()), found)
            continue
        for own, namespace, at in _members(tool, path):
            function = _function(
                own, namespace, at, strict_by_default=strict_by_default
            )
            number = f"tools[{len(found.functions)}]"
            paths.add(number, at)
            paths.add(f"{number}.function", at)
            if isinstance(own, CustomToolParam):
                paths.add(f"{number}.function.parameters", f"{at}.format.definition")
            elif own.strict is None:
                has_open = True
            name = flat_name(own.name, _name(namespace))
            other = found.tools.get(name)
            if other is not None and other.server_label is not None:
                raise BadRequest(
                    f"Invalid value for '{at}.name': '{name}' is also how a model is "
                    f"shown {_described(other)}.",
                    param=f"{at}.name",
                )
            found.functions.append({"type": "function", "function": function})
            found.tools[name] = CalledTool(
                own.name,
                _name(namespace),
                is_custom=isinstance(own, CustomToolParam),
            )
        if path.startswith(_OF_REQUEST):
            effective = _effective(tool, strict_by_default=strict_by_default)
            found.effective.append(effective)
    if has_open:
        return Functions(
            found.functions, found.tools, found.effective, found.hosted, has_open
        )
    return found


def _add_server(
    tool: McpTool,
    path: str,
    paths: Paths,
    listed: Iterable[Mapping[str, Any]],
    found: Functions,
) -> None:
    """Add the tools of an MCP server. Raises BadRequest."""
    for each in listed:
        name = str(each["name"])
        hints = each.get("annotations") or {}
        is_read_only = hints.get("read_only") is True
        if not tool.shows(name, is_read_only=is_read_only):
            continue
        flat = function_name(tool.server_label, name)
        if len(flat) > _MAX_NAME:
            raise BadRequest(
                f"The tool '{quote(name)}' of '{path}' cannot be shown to a model: "
                f"with its label, as '{quote(flat)}', its name must have at most "
                f"{_MAX_NAME} characters. Leave it out of 'allowed_tools'.",
                param=path,
            )
        if (other := found.tools.get(flat)) is not None:
            raise BadRequest(
                f"The tool '{quote(name)}' of '{path}' cannot be shown to a model: its "
                f"name there, '{flat}', is also that of {_described(other)}. Leave one "
                "of them out ('allowed_tools').",
                param=path,
            )
        number = f"tools[{len(found.functions)}]"
        paths.add(number, path)
        paths.add(f"{number}.function", path)
        function = {
            "name": flat,
            "description": each.get("description") or "",
            "parameters": each.get("input_schema") or {"type": "object"},
        }
        found.functions.append({"type": "function", "function": function})
        found.tools[flat] = CalledTool(
            name,
            server_label=tool.server_label,
            needs_approval=tool.needs_approval(name, is_read_only=is_read_only),
        )
    if path.startswith(_OF_REQUEST):
        found.effective.append(tool.shown())


def _described(tool: CalledTool) -> str:
    """Return what an error calls a tool."""
    if tool.server_label is not None:
        return f"the tool '{quote(tool.name)}' of the server '{tool.server_label}'"
    return f"the tool '{flat_name(tool.name, tool.namespace)}' of the request"


def _members(
    tool: FunctionToolParam | CustomToolParam | NamespaceTool, path: str
) -> Iterator[tuple[OwnTool, NamespaceTool | None, str]]:
    if isinstance(tool, NamespaceTool):
        for index, each in enumerate(tool.tools):
            yield each, tool, f"{path}.tools[{index}]"
    else:
        yield tool, None, path


def _function(
    tool: OwnTool,
    namespace: NamespaceTool | None,
    path: str,
    *,
    strict_by_default: bool,
) -> dict[str, Any] | TextFunction:
    name = flat_name(tool.name, _name(namespace))
    if len(name) > _MAX_NAME:
        raise BadRequest(
            f"Invalid value for '{path}.name': with its namespace, as '{name}', it "
            f"must have at most {_MAX_NAME} characters.",
            param=f"{path}.name",
        )
    about = [namespace.description] if namespace and namespace.description else []
    about += [tool.description] if tool.description else []
    if isinstance(tool, FunctionToolParam):
        strict = strict_by_default if tool.strict is None else tool.strict
        return {
            "name": name,
            "description": "\n\n".join(about),
            "parameters": tool.parameters or {"type": "object", "properties": {}},
            "strict": strict,
        }
    grammar = None
    if isinstance(tool.format, GrammarFormat):
        grammar = tool.format.syntax, tool.format.definition
    return text_function(name, about, grammar, f"{path}.format.definition")


def _name(namespace: NamespaceTool | None) -> str | None:
    return None if namespace is None else namespace.name


def _effective(
    tool: FunctionToolParam | CustomToolParam | NamespaceTool,
    *,
    strict_by_default: bool,
) -> dict[str, Any]:
    """Return a tool as it is served."""
    if isinstance(tool, NamespaceTool):
        return {
            "type": "namespace",
            "name": tool.name,
            "description": tool.description,
            "tools": [
                _effective(each, strict_by_default=strict_by_default)
                for each in tool.tools
            ],
        }
    shown = tool.model_dump(exclude_unset=True, by_alias=True)
    if isinstance(tool, FunctionToolParam):
        shown["parameters"] = tool.parameters
        shown["strict"] = strict_by_default if tool.strict is None else tool.strict
    return shown


def chat_choice(choice: ToolChoice, functions: Functions) -> tuple[Any, list[str]]:
    """Return the choice of a chat, and the paths of hosted tools in it.

    Raises BadRequest.
    """
    if isinstance(choice, str):
        return choice, []
    if isinstance(choice, ChosenMcp):
        names = _of_server(choice, functions, "tool_choice")
        return _allowed("required", names), []
    if not isinstance(choice, ChosenTools):
        name = _name_of(choice, functions, "tool_choice")
        return {"type": "function", "function": {"name": name}}, []
    names, hosted = [], []
    for index, each in enumerate(choice.tools):
        path = f"tool_choice.tools[{index}]"
        if isinstance(each, HostedTool):
            hosted.append(path)
        elif isinstance(each, ChosenMcp):
            names += _of_server(each, functions, path)
        else:
            names.append(_name_of(each, functions, path))
    if not names:
        if choice.mode == "required":
            raise BadRequest(
                "'tool_choice' requires a call of tools that are not served here.",
                param="tool_choice.tools",
            )
        return "none", hosted
    return _allowed(choice.mode, names), hosted


def _allowed(mode: str, names: Iterable[str]) -> dict[str, Any]:
    allowed = [{"type": "function", "function": {"name": name}} for name in names]
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": allowed},
    }


def _of_server(choice: ChosenMcp, functions: Functions, path: str) -> list[str]:
    """Return the flat names of the tools of a server. Raises BadRequest."""
    found = [
        flat
        for flat, tool in functions.tools.items()
        if tool.server_label == choice.server_label and choice.name in (None, tool.name)
    ]
    if not found:
        raise BadRequest(
            f"Invalid value for '{path}': there is no such tool of an MCP server "
            f"'{choice.server_label}' in 'tools'.",
            param=path,
        )
    return found


def _name_of(
    choice: ChosenFunction | ChosenCustom, functions: Functions, path: str
) -> str:
    """Return the flat name of a tool. Raises BadRequest.

    A tool in a namespace may be named without it, if that is clear.
    """
    is_custom = choice.type == "custom"
    named = [
        flat
        for flat, tool in functions.tools.items()
        if tool.is_custom == is_custom
        and choice.name in (tool.name, flat)
        and choice.namespace in (None, tool.namespace)
    ]
    exact = [flat for flat in named if flat == choice.name]
    found = exact or named
    if len(found) != 1:
        what = "several tools" if found else "no tool"
        raise BadRequest(
            f"Invalid value for '{path}': there is {what} '{choice.name}' of type "
            f"'{choice.type}' in 'tools'.".replace("is several", "are several"),
            param=path,
        )
    return found[0]
