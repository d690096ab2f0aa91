"""Structured output: the members of OpenAI, vLLM and llama-server.

At most one of them may be given. ``parameters.grammar`` makes a grammar of it.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, Tag, WithJsonSchema

from inference.api.body.request_body import Body
from inference.api.body.validation_errors import broken_rule, wrong_type
from inference.api.parameters.sampling import SamplingParameters
from inference.api.parameters.value_types import NonEmpty, Text, by_json_type
from inference.engine.structured_output import grammars

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def _schema(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type("a JSON schema")
    return value


def _schema_or_text(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise broken_rule("it is not valid JSON") from None
    return _schema(value)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise broken_rule("only a-z, A-Z, 0-9, underscores and dashes are allowed")
    return value


#: A JSON schema. It is checked when it is made a grammar.
JsonSchema = Annotated[
    dict[str, Any], PlainValidator(_schema, json_schema_input_type=dict[str, Any])
]
_JsonSchemaOrText = Annotated[
    dict[str, Any],
    PlainValidator(_schema_or_text, json_schema_input_type=dict[str, Any] | str),
]
#: The name of a schema or a function: OpenAI's letters.
SchemaName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
_Choices = Annotated[
    list[NonEmpty], Field(min_length=1, max_length=grammars.MAX_CHOICES)
]


class ResponseFormatText(Body):
    """Any text."""

    type: Literal["text"]


class ResponseFormatJsonObject(Body):
    """Any JSON object; ``schema`` is llama-server's."""

    type: Literal["json_object"]
    schema_: JsonSchema | None = Field(None, alias="schema")


class NamedSchema(Body):
    """A JSON schema for the answer; it is always enforced, strict or not."""

    name: SchemaName
    description: Text = ""
    strict: bool = False
    schema_: JsonSchema = Field(alias="schema")


class ResponseFormatJsonSchema(Body):
    """The values of a JSON schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class TypedGrammar(Body):
    """A grammar and its language."""

    type: Literal["gbnf", "lark"]
    value: NonEmpty


class StructuredOutputs(Body):
    """vLLM's object, with exactly one of its members."""

    json_: _JsonSchemaOrText | None = Field(None, alias="json")
    regex: NonEmpty | None = None
    choice: _Choices | None = None
    grammar: NonEmpty | None = None
    json_object: bool = False


class StructuredOutputParameters(SamplingParameters):
    """What the answer must match; None is not given."""

    response_format: (
        Annotated[
            ResponseFormatText | ResponseFormatJsonObject | ResponseFormatJsonSchema,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    """What the answer must match: text, any JSON object, or a JSON schema, which is
    always enforced, strict or not."""
    structured_outputs: StructuredOutputs | None = None
    """vLLM's way to say what the answer must match: json, regex, choice, grammar or
    json_object. Not in OpenAI's API."""
    guided_json: _JsonSchemaOrText | None = None
    """A JSON schema for the answer. Not in OpenAI's API."""
    guided_regex: NonEmpty | None = None
    """A regular expression that the answer matches. Not in OpenAI's API."""
    guided_choice: _Choices | None = None
    """The texts that the answer may be. Not in OpenAI's API."""
    guided_grammar: NonEmpty | None = None
    """A grammar for the answer, in GBNF or Lark. Not in OpenAI's API."""
    grammar: (
        Annotated[
            Annotated[Text, Tag("string")] | Annotated[TypedGrammar, Tag("object")],
            by_json_type("a string or an object"),
        ]
        | None
    ) = None
    """A grammar for the answer in GBNF; or an object of type gbnf or lark with the
    grammar as its value. Not in OpenAI's API."""
    json_schema: JsonSchema | None = None
    """A JSON schema for the answer. Not in OpenAI's API."""
