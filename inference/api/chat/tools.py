"""The members ``tools`` and ``tool_choice`` of a chat request."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag

from inference.api.body.request_body import Body
from inference.api.body.text_limits import check_sizes
from inference.api.body.validation_errors import broken_rule
from inference.api.errors import BadRequest
from inference.api.parameters.grammar import checked_grammar
from inference.api.parameters.json_object import AnyJson
from inference.api.parameters.structured_output import SchemaName
from inference.api.parameters.value_types import Text, by_json_type
from inference.engine.structured_output import grammars
from inference.prompts.messages import Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TOOLS = 128


def schema_of_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a function's arguments with its type: object."""
    kinds = schema.get("type", "object")
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        raise broken_rule("arguments are an object", at=".type")
    return {"properties": {}, **schema, "type": "object"}


class FunctionDefinition(Body):
    """A function that the model may call."""

    name: SchemaName
    description: Text = ""
    parameters: Annotated[
        dict[str, Any], AnyJson(), AfterValidator(schema_of_object)
    ] = {"type": "object", "properties": {}}
    """The JSON schema of the arguments. Default: no arguments."""
    strict: bool = False
    """Calls must match the schema."""


class TextFunction(FunctionDefinition):
    """A function whose only argument is a text with a grammar: no client sends one."""

    input_grammar: str = ""
    """The grammar of what JSON writes of the text and of its last quote, in Lark."""


class FunctionTool(Body):
    """A tool. Only functions are supported."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(Body):
    """The name of a function of ``tools``."""

    name: SchemaName


class NamedTool(Body):
    """One of ``tools``, named by its function."""

    type: Literal["function"]
    function: FunctionName


class AllowedTools(Body):
    """Some of ``tools``, and whether one of them must be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedToolsChoice(Body):
    """The tools that are allowed."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


Tools = Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[
        Annotated[NamedTool | AllowedToolsChoice, Field(discriminator="type")],
        Tag("object"),
    ],
    by_json_type("a string or an object"),
]


#: The path of a function, with its place.
TOOL_PATH = "tools[{}].function"
#: OpenAI's former member.
FUNCTION_PATH = "functions[{}]"


def functions_of(
    definitions: Sequence[FunctionDefinition], path: str = TOOL_PATH
) -> tuple[Tool, ...]:
    """Return the functions. Raises BadRequest if two have the same name.

    The schemas of strict ones can be enforced. ``path`` is the path of a definition,
    with its place to fill in.
    """
    if not definitions:
        return ()
    functions = tuple(Tool(**dict(definition)) for definition in definitions)
    for index, function in enumerate(functions):
        if function.strict:
            check_enforceable(function, path.format(index))
    member = path.partition("[")[0]
    sizes = {
        f"{member}[{index}]": len(json.dumps(function.function()))
        for index, function in enumerate(functions)
    }
    check_sizes(sizes, member)
    counts = Counter(function.name for function in functions)
    for index, function in enumerate(functions):
        if counts[function.name] > 1:
            name_path = f"{path.format(index)}.name"
            raise BadRequest(
                f"Invalid value for '{name_path}': there are several tools named "
                f"'{function.name}'.",
                param=name_path,
            )
    return functions


def check_enforceable(function: Tool, path: str) -> None:
    """Refuse a function whose schema cannot be enforced.

    ``path`` is the path of its definition. Raises BadRequest.
    """
    checked_grammar(grammars.arguments, function.parameters, f"{path}.parameters")
