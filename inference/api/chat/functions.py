"""OpenAI's former members for tools: ``functions`` and ``function_call``.

They are served as tools, and answered in their own shape: one call in an answer, as
``function_call`` of the message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from inference.api.body.request_body import Body
from inference.api.chat.tools import (
    MAX_TOOLS,
    FunctionDefinition,
    FunctionName,
    NamedTool,
    ToolChoice,
)
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import by_json_type

#: The members of today, which cannot be used together with the former ones.
_OF_TODAY = ("tools", "tool_choice", "parallel_tool_calls")


class FormerTools(Body):
    """The former members."""

    functions: Annotated[list[FunctionDefinition], Field(max_length=MAX_TOOLS)] = []
    """OpenAI's former name for tools. The answer has one call at most, as
    function_call."""
    function_call: (
        Annotated[
            Annotated[Literal["none", "auto"], Tag("string")]
            | Annotated[FunctionName, Tag("object")],
            by_json_type("a string or an object"),
        ]
        | None
    ) = None
    """OpenAI's former name for tool_choice: none, auto, or the name of one function."""

    @property
    def uses_former_tools(self) -> bool:
        """Whether the request has functions, and gets its answer in their shape."""
        return bool(self.functions) or isinstance(self.function_call, FunctionName)

    @model_validator(mode="after")
    def _check_former(self) -> FormerTools:
        for former in ("functions", "function_call"):
            for name in _OF_TODAY:
                value: Any = getattr(self, name, None)
                is_given = name in self.model_fields_set and value not in (None, [])
                if is_given and self.uses_former_tools and getattr(self, former):
                    raise BadRequest(
                        f"'{former}' is a former member and '{name}' one of today; "
                        "send one of them.",
                        param=former,
                    )
        return self


def choice_of(body: FormerTools) -> ToolChoice:
    """Return ``function_call`` as a choice of tools."""
    choice = body.function_call
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        return choice
    return NamedTool(type="function", function=choice)
