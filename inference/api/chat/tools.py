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
from inference.api.parameters.value_types import NonEmpty, Text, by_json_type
from inference.api.streaming.text_inputs import INPUT
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


class FreeText(Body):
    """Any text."""

    type: Literal["text"]


class TextGrammar(Body):
    """A grammar of texts."""

    syntax: Literal["lark", "regex"]
    definition: NonEmpty


class CustomGrammar(Body):
    """A grammar that the input of a custom tool matches."""

    type: Literal["grammar"]
    grammar: TextGrammar


class CustomDefinition(Body):
    """A tool whose input is a text."""

    name: SchemaName
    description: Text = ""
    format: Annotated[FreeText | CustomGrammar, Field(discriminator="type")] | None = (
        None
    )


class FunctionTool(Body):
    """A function."""

    type: Literal["function"]
    function: FunctionDefinition


class CustomChatTool(Body):
    """A custom tool: the model calls a function whose only argument is a text."""

    type: Literal["custom"]
    custom: CustomDefinition

    @property
    def function(self) -> FunctionDefinition:
        """The function. Raises BadRequest."""
        return self.function_at("tools")

    def function_at(self, path: str) -> FunctionDefinition:
        """Return the function; ``path`` is the definition's. Raises BadRequest."""
        given, custom = None, self.custom
        if isinstance(custom.format, CustomGrammar):
            given = custom.format.grammar
        return text_function(
            custom.name,
            [custom.description] if custom.description else [],
            None if given is None else (given.syntax, given.definition),
            f"{path}.format.grammar.definition",
        )


def text_function(
    name: str, about: list[str], grammar: tuple[str, str] | None, path: str
) -> TextFunction:
    """Return a function whose only argument is a text. Raises BadRequest.

    ``about`` is what describes it; ``grammar`` is a syntax and a definition, which has
    this path.
    """
    schema: dict[str, Any] = {"type": "string"}
    input_grammar = ""
    if grammar is not None:
        syntax, definition = grammar
        if syntax == "lark":
            made = checked_grammar(grammars.text_in_json, definition, path)
            input_grammar = made.source
        else:
            schema["pattern"] = f"^(?:{definition})$"
        about = [*about, f"Its {INPUT} matches this {syntax} grammar:\n{definition}"]
    return TextFunction(
        name=name,
        description="\n\n".join(about),
        parameters={
            "type": "object",
            "properties": {INPUT: schema},
            "required": [INPUT],
            "additionalProperties": False,
        },
        strict=True,
        input_grammar=input_grammar,
    )


class FunctionName(Body):
    """The name of a function of ``tools``."""

    name: SchemaName


class NamedTool(Body):
    """One of ``tools``, named by its function."""

    type: Literal["function"]
    function: FunctionName


class NamedCustom(Body):
    """One of ``tools``, a custom one, by its name."""

    type: Literal["custom"]
    custom: FunctionName

    @property
    def function(self) -> FunctionName:
        """The name."""
        return self.custom


class AllowedTools(Body):
    """Some of ``tools``, and whether one of them must be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[
        list[Annotated[NamedTool | NamedCustom, Field(discriminator="type")]],
        Field(min_length=1, max_length=MAX_TOOLS),
    ]


class AllowedToolsChoice(Body):
    """The tools that are allowed."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


Tools = Annotated[
    list[Annotated[FunctionTool | CustomChatTool, Field(discriminator="type")]],
    Field(max_length=MAX_TOOLS),
]
FunctionTools = Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[
        Annotated[
            NamedTool | NamedCustom | AllowedToolsChoice, Field(discriminator="type")
        ],
        Tag("object"),
    ],
    by_json_type("a string or an object"),
]


#: The path of a function, with its place.
TOOL_PATH = "tools[{}].function"
#: OpenAI's former member.
FUNCTION_PATH = "functions[{}]"


def functions_of(
    definitions: Sequence[FunctionDefinition], paths: Sequence[str] = ()
) -> tuple[Tool, ...]:
    """Return the functions. Raises BadRequest if two have the same name.

    The schemas of strict ones can be enforced. ``paths`` are those of the definitions,
    if they are not those of the functions of tools.
    """
    if not definitions:
        return ()
    paths = paths or [TOOL_PATH.format(index) for index in range(len(definitions))]
    functions = tuple(Tool(**dict(definition)) for definition in definitions)
    for index, function in enumerate(functions):
        if function.strict:
            check_enforceable(function, paths[index])
    sizes = {
        path.partition(".")[0]: len(json.dumps(function.function()))
        for path, function in zip(paths, functions, strict=True)
    }
    check_sizes(sizes, paths[0].partition("[")[0])
    counts = Counter(function.name for function in functions)
    for index, function in enumerate(functions):
        if counts[function.name] > 1:
            name_path = f"{paths[index]}.name"
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
