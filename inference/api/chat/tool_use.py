"""Which functions the answer to a chat request may or must call, and how many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.api.chat.functions import choice_of
from inference.api.chat.tools import (
    FUNCTION_PATH,
    TOOL_PATH,
    FunctionTool,
    NamedCustom,
    NamedTool,
    ToolChoice,
    functions_of,
)
from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.api.chat.request import ChatCompletionRequest
    from inference.api.chat.tools import FunctionDefinition
    from inference.prompts.messages import Tool


#: The members that list and choose functions: OpenAI's, and its former ones.
_MEMBERS = {
    False: ("tools", "tool_choice"),
    True: ("functions", "function_call"),
}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Which functions the model may call, and whether it must.

    The model sees ``tools``; it may call those in ``may_call``. ``must_call`` excludes
    every other answer; ``max_calls`` None is any number. ``paths`` are the places of
    the functions' definitions in the request, by name. ``custom`` are the names of
    custom tools.
    """

    tools: tuple[Tool, ...] = ()
    may_call: tuple[Tool, ...] = ()
    must_call: bool = False
    max_calls: int | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    custom: frozenset[str] = frozenset()

    @property
    def is_strict(self) -> bool:
        """Whether calls of some tool must match its schema, if there are any."""
        return any(tool.strict for tool in self.may_call)

    def paths_of(self, places: Iterable[tuple[str, str]]) -> list[str]:
        """Return the paths in the request of places in its functions' parameters.

        A place is a function's name and a path in its parameters, "" for all of them.
        """
        return [
            f"{self.paths[name]}.parameters.{path}".removesuffix(".")
            for name, path in places
        ]


def tool_use(body: ChatCompletionRequest) -> ToolUse:
    """Return a request's use of tools. Raises BadRequest."""
    former = body.uses_former_tools
    choice = body.tool_choice
    definitions, paths, custom = _definitions(body)
    if former:
        choice = choice_of(body)
        definitions = body.functions
        paths = [FUNCTION_PATH.format(index) for index, _ in enumerate(definitions)]
    tools = functions_of(definitions, paths)
    mode, names = _choice(choice)
    must_call = mode == "required"
    member, choice_member = _MEMBERS[former]
    if not tools and (must_call or names):
        raise BadRequest(
            f"'{choice_member}' is only allowed with '{member}'.", param=choice_member
        )
    known = {tool.name: tool.name in custom for tool in tools}
    for name, is_custom in (names or {}).items():
        if known.get(name) != is_custom:
            raise BadRequest(
                f"Invalid value for '{choice_member}': there is no tool '{name}' in "
                f"'{member}'.",
                param=choice_member,
            )
    if not tools or mode == "none":
        return ToolUse()
    named = tuple(tool for tool in tools if names is None or tool.name in names)
    if must_call:
        _check_end(body)
    is_one = isinstance(choice, NamedTool | NamedCustom)
    return ToolUse(
        # To choose one function the model still sees all; it never sees tools that are
        # not allowed.
        tools=tools if is_one else named,
        may_call=named,
        must_call=must_call,
        max_calls=1 if is_one or former or not body.parallel_tool_calls else None,
        paths={tool.name: path for tool, path in zip(tools, paths, strict=True)},
        custom=custom,
    )


def _definitions(
    body: ChatCompletionRequest,
) -> tuple[list[FunctionDefinition], list[str], frozenset[str]]:
    """Return the functions of the tools, their paths, and the names of custom ones.

    Raises BadRequest.
    """
    definitions, paths, custom = [], [], set()
    for index, tool in enumerate(body.tools):
        if isinstance(tool, FunctionTool):
            paths.append(TOOL_PATH.format(index))
            definitions.append(tool.function)
        else:
            paths.append(f"tools[{index}].custom")
            definitions.append(tool.function_at(paths[-1]))
            custom.add(tool.custom.name)
    return definitions, paths, frozenset(custom)


def _choice(choice: ToolChoice) -> tuple[str, dict[str, bool] | None]:
    """Return the mode, and the names of the allowed tools: whether each is custom.

    None is all of them.
    """
    if isinstance(choice, str):
        return choice, None
    if isinstance(choice, NamedTool | NamedCustom):
        return "required", {choice.function.name: isinstance(choice, NamedCustom)}
    allowed = choice.allowed_tools
    return allowed.mode, {
        each.function.name: isinstance(each, NamedCustom) for each in allowed.tools
    }


def _check_end(body: ChatCompletionRequest) -> None:
    """Refuse parameters that conflict with required calls, which decide the end."""
    for name in ("ignore_eos", "min_tokens"):
        if getattr(body, name):
            raise BadRequest(
                f"'{name}' is not allowed where a call is required: that says where "
                "the answer ends.",
                param=name,
            )
