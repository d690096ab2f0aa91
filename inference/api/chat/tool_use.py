"""Which functions the answer to a chat request may or must call, and how many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.api.chat.functions import choice_of
from inference.api.chat.tools import (
    FUNCTION_PATH,
    TOOL_PATH,
    NamedTool,
    ToolChoice,
    functions_of,
)
from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.api.chat.request import ChatCompletionRequest
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
    the functions' definitions in the request, by name.
    """

    tools: tuple[Tool, ...] = ()
    may_call: tuple[Tool, ...] = ()
    must_call: bool = False
    max_calls: int | None = None
    paths: Mapping[str, str] = field(default_factory=dict)

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
    path, choice = TOOL_PATH, body.tool_choice
    definitions = [tool.function for tool in body.tools]
    if former:
        path, choice = FUNCTION_PATH, choice_of(body)
        definitions = body.functions
    tools = functions_of(definitions, path)
    mode, names = _choice(choice)
    must_call = mode == "required"
    member, choice_member = _MEMBERS[former]
    if not tools and (must_call or names):
        raise BadRequest(
            f"'{choice_member}' is only allowed with '{member}'.", param=choice_member
        )
    known = {tool.name for tool in tools}
    for name in names or ():
        if name not in known:
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
    is_one = isinstance(choice, NamedTool)
    return ToolUse(
        # To choose one function the model still sees all; it never sees tools that are
        # not allowed.
        tools=tools if is_one else named,
        may_call=named,
        must_call=must_call,
        max_calls=1 if is_one or former or not body.parallel_tool_calls else None,
        paths={tool.name: path.format(index) for index, tool in enumerate(tools)},
    )


def _choice(choice: ToolChoice) -> tuple[str, tuple[str, ...] | None]:
    """Return the mode and the names of the allowed functions; None is all of them."""
    if isinstance(choice, str):
        return choice, None
    if isinstance(choice, NamedTool):
        return "required", (choice.function.name,)
    allowed = choice.allowed_tools
    return allowed.mode, tuple(each.function.name for each in allowed.tools)


def _check_end(body: ChatCompletionRequest) -> None:
    """Refuse parameters that conflict with required calls, which decide the end."""
    for name in ("ignore_eos", "min_tokens"):
        if getattr(body, name):
            raise BadRequest(
                f"'{name}' is not allowed where a call is required: that says where "
                "the answer ends.",
                param=name,
            )
