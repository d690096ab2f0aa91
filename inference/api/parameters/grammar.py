"""Makes one grammar of the request's structured-output members, and checks it.

What cannot be enforced is refused before anything is queued, with the path of the fault
as ``param``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from inference.api.parameters.structured_output import (
    ResponseFormatJsonObject,
    ResponseFormatJsonSchema,
    TypedGrammar,
)
from inference.engine.structured_output import grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from inference.engine.structured_output.json_schema.style import JsonStyle
from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inference.api.left_out import LeftOut
    from inference.api.parameters.structured_output import (
        StructuredOutputParameters,
        StructuredOutputs,
    )
    from inference.engine.structured_output.grammar import Grammar

#: A rule of GBNF. No Lark grammar contains this, so it tells the languages apart.
_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
_ANY_OBJECT = {"type": "object"}
#: Parameters that conflict with a grammar, which decides where the answer ends.
_OVER_THE_END = ("ignore_eos", "min_tokens")


@dataclass(frozen=True, slots=True)
class _Source:
    """A member that says what the answer must match, and how to make a grammar of it.

    ``path`` is the place of ``value``: within the member, or the member itself.
    """

    member: str
    path: str
    make: Callable[[Any, str], Grammar]
    value: Any


def json_style() -> JsonStyle:
    """Return the configured style of JSON."""
    return JsonStyle(config().generation.json_style)


def grammar_of(body: StructuredOutputParameters, left_out: LeftOut) -> Grammar | None:
    """Return the answer's grammar, if the body has one. Raises BadRequest.

    What it cannot enforce of a response format that is not strict is added to
    ``left_out``.
    """
    source = _only(list(_sources(body, left_out)))
    if source is None:
        return None
    for name in _OVER_THE_END:
        if getattr(body, name):
            raise BadRequest(
                f"'{name}' is not allowed with '{source.member}', which says where the "
                "answer ends.",
                param=name,
            )
    return checked_grammar(source.make, source.value, source.path)


def checked_grammar(
    make: Callable[[Any, str], Grammar], value: Any, path: str
) -> Grammar:
    """Return the grammar made of a value. Raises BadRequest."""
    try:
        return make(value, path)
    except InvalidGrammar as error:
        param = f"{path}.{quote(error.path)}" if error.path else path
        raise BadRequest(
            f"Invalid value for '{param}': {error.message}.", param=param
        ) from None


def _only(sources: Sequence[_Source]) -> _Source | None:
    """Return the only source, if there is one. Raises BadRequest if there are two."""
    if len(sources) > 1:
        one, other, *_ = (source.member for source in sources)
        raise BadRequest(
            f"'{one}' and '{other}' both say what the answer must be; send one of "
            "them.",
            param=other,
        )
    return sources[0] if sources else None


def _sources(body: StructuredOutputParameters, left_out: LeftOut) -> Iterator[_Source]:
    name = "response_format"
    match body.response_format:
        case ResponseFormatJsonSchema(json_schema=named):
            path = f"{name}.json_schema.schema"
            make = _json_schema if named.strict else partial(_loose_schema, left_out)
            yield _Source(name, path, make, named.schema_)
        case ResponseFormatJsonObject(schema_=None):
            yield _Source(name, name, _json_schema, _ANY_OBJECT)
        case ResponseFormatJsonObject(schema_=schema):
            yield _Source(name, f"{name}.schema", _json_schema, schema)
    if body.structured_outputs is not None:
        source = _only(list(_structured_outputs(body.structured_outputs)))
        if source is not None:
            yield replace(source, member="structured_outputs")
    yield from _given("guided_json", _json_schema, body.guided_json)
    yield from _given("guided_regex", grammars.regex, body.guided_regex)
    yield from _given("guided_choice", grammars.choice, body.guided_choice)
    yield from _given("guided_grammar", _either_language, body.guided_grammar)
    match body.grammar:
        case TypedGrammar(type=language, value=text):
            of_language = grammars.gbnf if language == "gbnf" else _lark
            yield _Source("grammar", "grammar.value", of_language, text)
        case str(text) if text:
            yield _Source("grammar", "grammar", grammars.gbnf, text)
    yield from _given("json_schema", _json_schema, body.json_schema)


def _structured_outputs(outputs: StructuredOutputs) -> Iterator[_Source]:
    name = "structured_outputs"
    if outputs.json_object:
        yield from _given(f"{name}.json_object", _json_schema, _ANY_OBJECT)
    yield from _given(f"{name}.json", _json_schema, outputs.json_)
    yield from _given(f"{name}.regex", grammars.regex, outputs.regex)
    yield from _given(f"{name}.choice", grammars.choice, outputs.choice)
    yield from _given(f"{name}.grammar", _either_language, outputs.grammar)


def _given(
    member: str, make: Callable[[Any, str], Grammar], value: Any
) -> Iterator[_Source]:
    if value is not None:
        yield _Source(member, member, make, value)


def _either_language(source: str, param: str) -> Grammar:
    """Return the grammar of a text in GBNF or in Lark."""
    is_gbnf = _GBNF_RULE.search(source) is not None
    return (grammars.gbnf if is_gbnf else _lark)(source, param)


def _json_schema(schema: Any, param: str) -> Grammar:
    return grammars.json_schema(schema, param, style=json_style())


def _loose_schema(left_out: LeftOut, schema: Any, param: str) -> Grammar:
    paths: list[str] = []
    grammar = grammars.json_schema(schema, param, style=json_style(), left_out=paths)
    left_out.add(*(f"{param}.{path}" for path in paths))
    return grammar


def _lark(source: str, param: str) -> Grammar:
    return grammars.lark(source, param, style=json_style())
