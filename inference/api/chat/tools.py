"""Tools: what a request lets the model call, and whether it must."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.declarations.fields import (
    Boolean,
    Choice,
    Field,
    ListOf,
    Text,
    wrong_type,
)
from inference.api.declarations.records import Record, missing
from inference.api.errors import InvalidRequest
from inference.api.parameters.structured_output import GrammarField, Name, Schema
from inference.api.text_limits import check_sizes
from inference.engine.structured_output import grammars
from inference.prompts.messages import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.engine.structured_output.grammar import Grammar

MAX_TOOLS = 128
_MAX_DEPTH = 64
_MAX_KWARGS_BYTES = 16 * 1024
_ENFORCED = GrammarField(Schema(), grammars.json_schema)


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a request says about calls.

    ``tools`` are shown to the model, ``may_call`` those of them that it may call.
    ``must_call`` rules out every other answer; ``max_calls`` None is any number.
    """

    tools: tuple[Tool, ...] = ()
    may_call: tuple[Tool, ...] = ()
    must_call: bool = False
    max_calls: int | None = None

    @property
    def is_strict(self) -> bool:
        """Whether calls of some tool must match its schema, if there are any."""
        return any(tool.strict for tool in self.may_call)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What may be called: ``names`` None is every tool; ``is_one``: just one call."""

    mode: str
    names: tuple[str, ...] | None = None
    is_one: bool = False


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object of JSON values: what it says is for others to judge."""

    max_bytes: int | None = None

    def parse(self, value: Any, path: str) -> dict[str, Any]:
        """Return the object. Raises InvalidRequest."""
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if _depth(value) > _MAX_DEPTH:
            raise _invalid(path, f"it is nested deeper than {_MAX_DEPTH}")
        try:
            size = len(json.dumps(value, ensure_ascii=False).encode())
        except UnicodeEncodeError:
            raise _invalid(path, "it is no valid Unicode text") from None
        if self.max_bytes is not None and size > self.max_bytes:
            raise _invalid(path, f"it must have at most {self.max_bytes:,} bytes")
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a function: a JSON schema of an object."""

    def parse(self, value: Any, path: str) -> dict[str, Any]:
        """Return the schema, saying that it is one of an object."""
        schema = JsonObject().parse(value, path)
        kinds = schema.get("type", "object")
        if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
            raise _invalid(f"{path}.type", "arguments are an object")
        return {"properties": {}, **schema, "type": "object"}

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "object"}


def _typed(kind: str, members: Mapping[str, Field]) -> Record:
    return Record(
        {"type": Choice((kind,)), kind: Record(members, tuple(members)[:1])},
        ("type", kind),
    )


_TOOL = _typed(
    "function",
    {
        "name": Name(),
        "description": Text(),
        "parameters": Parameters(),
        "strict": Boolean(),
    },
)
_NAMED = _typed("function", {"name": Name()})
_ALLOWED = Record(
    {
        "type": Choice(("allowed_tools",)),
        "allowed_tools": Record(
            {
                "mode": Choice(("auto", "required")),
                "tools": ListOf(_NAMED, 1, MAX_TOOLS),
            },
            ("mode", "tools"),
        ),
    },
    ("type", "allowed_tools"),
)
_MODES = Choice(("none", "auto", "required"))


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions that a model may call, each under a name of its own."""

    def parse(self, value: Any, path: str) -> tuple[Tool, ...]:
        """Return the tools. Raises InvalidRequest."""
        if not isinstance(value, list):
            raise wrong_type(path, "an array of tools", value)
        if len(value) > MAX_TOOLS:
            raise _invalid(path, f"it must have at most {MAX_TOOLS} elements")
        tools = []
        for index, item in enumerate(value):
            where = f"{path}[{index}]"
            _refuse_custom(item, where)
            function = _TOOL.parse(item, where)["function"]
            if function.get("strict"):
                at = f"{where}.function.parameters"
                _ENFORCED.parse(function.get("parameters", {}), at)
            tools.append(Tool(**function))
        sizes = {
            f"{path}[{index}]": len(json.dumps(tool.function()))
            for index, tool in enumerate(tools)
        }
        check_sizes(sizes, path)
        counts = Counter(tool.name for tool in tools)
        for index, tool in enumerate(tools):
            if counts[tool.name] > 1:
                where = f"{path}[{index}].function.name"
                raise _invalid(where, f"there are several tools named '{tool.name}'")
        return tuple(tools)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "array", "maxItems": MAX_TOOLS, "items": _TOOL.schema()}


@dataclass(frozen=True, slots=True)
class ToolChoiceField:
    """OpenAI's: a word, the name of a function, or the tools that are allowed."""

    def parse(self, value: Any, path: str) -> ToolChoice:
        """Return the choice. Raises InvalidRequest."""
        if isinstance(value, str):
            return ToolChoice(_MODES.parse(value, path))
        if not isinstance(value, dict):
            raise wrong_type(path, "a string or an object", value)
        _refuse_custom(value, path)
        if "type" not in value:
            raise missing(f"{path}.type")
        kinds = Choice(("function", "allowed_tools"))
        if kinds.parse(value["type"], f"{path}.type") == "function":
            name = _NAMED.parse(value, path)["function"]["name"]
            return ToolChoice("required", (name,), is_one=True)
        allowed = _ALLOWED.parse(value, path)["allowed_tools"]
        names = tuple(each["function"]["name"] for each in allowed["tools"])
        return ToolChoice(allowed["mode"], names)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"oneOf": [_MODES.schema(), _NAMED.schema(), _ALLOWED.schema()]}


FIELDS: dict[str, Field] = {
    "tools": Tools(),
    "tool_choice": ToolChoiceField(),
    "parallel_tool_calls": Boolean(),
    "chat_template_kwargs": JsonObject(_MAX_KWARGS_BYTES),
}
HELP = {
    "tools": "Functions that the model may call. Their parameters are a JSON schema.",
    "tool_choice": "none, auto, required, the name of one function, or the tools that "
    "are allowed. Calls that are required match their schema. Default: auto.",
    "parallel_tool_calls": "Let an answer have several calls, where the model's "
    "template knows them. Default: true.",
    "chat_template_kwargs": "Variables of the model's chat template, such as "
    "enable_thinking. Not in OpenAI's API.",
}


def tool_use(given: Mapping[str, Any], grammar: Grammar | None) -> ToolUse:
    """Return what the members of a request say about calls.

    ``grammar`` is what an answer must be that is none. Raises InvalidRequest.
    """
    tools: tuple[Tool, ...] = given.get("tools", ())
    choice: ToolChoice = given.get("tool_choice", ToolChoice("auto"))
    must_call = choice.mode == "required"
    if not tools and (must_call or choice.names):
        raise InvalidRequest(
            "'tool_choice' is only allowed with 'tools'.", param="tool_choice"
        )
    known = {tool.name for tool in tools}
    for name in choice.names or ():
        if name not in known:
            raise InvalidRequest(
                f"Invalid value for 'tool_choice': there is no tool '{name}' in "
                "'tools'.",
                param="tool_choice",
            )
    if not tools or choice.mode == "none":
        return ToolUse()
    named = tuple(
        tool for tool in tools if choice.names is None or tool.name in choice.names
    )
    if must_call:
        _check_end(given)
    # Where calls are only possible beside an answer of a given form, the grammar of
    # that answer has them too.
    if must_call or grammar is not None:
        for index, tool in enumerate(tools):
            if tool in named:
                at = f"tools[{index}].function.parameters"
                _ENFORCED.parse(tool.parameters, at)
    is_single = choice.is_one or not given.get("parallel_tool_calls", True)
    return ToolUse(
        # One of several is chosen from all; what is not allowed is not shown.
        tools=tools if choice.is_one else named,
        may_call=named,
        must_call=must_call,
        max_calls=1 if is_single else None,
    )


def _check_end(given: Mapping[str, Any]) -> None:
    """Refuse what takes the end of the answer away from the grammar of calls."""
    for name in ("ignore_eos", "min_tokens"):
        if given.get(name):
            raise InvalidRequest(
                f"'{name}' cannot be had where a call is required: that says where "
                "the answer ends.",
                param=name,
            )


def _refuse_custom(value: Any, path: str) -> None:
    if isinstance(value, dict) and value.get("type") == "custom":
        raise InvalidRequest(
            f"Unsupported value: '{path}' is a custom tool, and only functions are "
            "served here.",
            param=f"{path}.type",
            code="unsupported_parameter",
        )


def _depth(value: Any) -> int:
    """Return how many objects and arrays are in one another."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _invalid(path: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{path}': {rule}.", param=path)
