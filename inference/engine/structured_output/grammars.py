"""Makes grammars from the members of requests, and checks them before anything runs."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from inference.engine.structured_output.compiling import InvalidGrammar, check
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.engine.structured_output.gbnf.lexemes import to_lark
from inference.engine.structured_output.gbnf.parser import (
    GrammarSyntaxError,
    parse_gbnf,
)
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.json_schema.patterns import ascii_classes
from inference.engine.structured_output.json_schema.preparation import (
    prepare_schema,
    schema_of_arguments,
)
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.json_schema.values import SchemaError
from inference.engine.structured_output.lark import prepare_lark
from inference.engine.structured_output.quoting.json_text import text_and_quote
from inference.engine.structured_output.schema_faults import (
    find_fault,
    schema_grammar,
)

#: The size limit of a GBNF grammar, of a regular expression, and of all choices
#: together.
MAX_GRAMMAR_BYTES = 32 * 1024
MAX_CHOICES = 1_000
#: The same of the grammar of a tool's input: a second or so.
MAX_TEXT_GRAMMAR_BYTES = 16 * 1024


def json_object(param: str = "") -> Grammar:
    """Return the grammar of any JSON object."""
    return json_schema({"type": "object"}, param)


def json_schema(
    schema: Any,
    param: str = "",
    *,
    style: JsonStyle = JsonStyle.FIXED,
    left_out: list[str] | None = None,
) -> Grammar:
    """Return the grammar of a JSON schema. Raises InvalidGrammar.

    With ``left_out``, patterns with look-around and bounds beyond the engine's numbers
    are left out, and their paths are added there.
    """
    try:
        prepared = prepare_schema(schema, style, left_out)
    except SchemaError as error:
        raise InvalidGrammar(error.message, error.path) from None
    text = schema_grammar(prepared.document())
    try:
        check(text)
    except InvalidGrammar as error:
        raise find_fault(prepared, error).error() from None
    return Grammar(text, param)


def arguments(
    schema: dict[str, Any], param: str = "", *, style: JsonStyle = JsonStyle.FIXED
) -> Grammar:
    """Return the grammar of a strict function's arguments. Raises InvalidGrammar."""
    return json_schema(schema_of_arguments(schema), param, style=style)


def regex(pattern: str, param: str = "") -> Grammar:
    r"""Return the grammar of texts that match a regular expression as a whole.

    The syntax is that of Rust's regex crate, but ``\d``, ``\w`` and ``\s`` are ASCII.
    Raises InvalidGrammar.
    """
    _check_size(pattern)
    text = LLMatcher.grammar_from_regex(ascii_classes(pattern))
    check(text)
    return Grammar(text, param)


def choice(texts: list[str], param: str = "") -> Grammar:
    """Return the grammar of one of these texts. Raises InvalidGrammar."""
    _check_size("".join(texts))
    literals = [json.dumps(text, ensure_ascii=False) for text in texts]
    options = " | ".join(literals).replace("\x7f", "\\u007f")
    text = f"start: CHOICE\nCHOICE: {options}\n"
    check(text)
    return Grammar(text, param)


def gbnf(source: str, param: str = "") -> Grammar:
    """Return the grammar of a GBNF text. Raises InvalidGrammar."""
    _check_size(source)
    try:
        text = _lark_of_gbnf(source)
    except GrammarSyntaxError as error:
        raise InvalidGrammar(str(error)) from None
    check(text)
    return Grammar(text, param)


def lark(
    source: str, param: str = "", *, style: JsonStyle = JsonStyle.FIXED
) -> Grammar:
    """Return the grammar of a Lark text. Raises InvalidGrammar.

    Schemas in it (``%json {…}``) are prepared like those of ``json_schema``.
    """
    if source.lstrip().startswith("{"):
        # llguidance would parse it as its own JSON, unchecked.
        raise InvalidGrammar("it is no Lark: it begins with '{'")
    try:
        text = prepare_lark(source, style)
    except GrammarSyntaxError as error:
        raise InvalidGrammar(str(error)) from None
    except SchemaError as error:
        place = f" at '{error.path}'" if error.path else ""
        raise InvalidGrammar(f"%json{place}: {error.message}") from None
    check(text)
    return Grammar(text, param)


def text_in_json(source: str, param: str = "") -> Grammar:
    """Return the grammar of a text as JSON writes it, with the quote that ends it.

    ``source`` is the text's own grammar, in Lark. Raises InvalidGrammar.
    """
    _check_size(source, MAX_TEXT_GRAMMAR_BYTES)
    lark(source, param)
    try:
        text = _text_in_json(source)
    except GrammarSyntaxError as error:
        raise InvalidGrammar(str(error)) from None
    check(text)
    return Grammar(text, param)


def checked(grammar: Grammar) -> Grammar:
    """Return the grammar if it can be enforced. Raises InvalidGrammar.

    Its control tokens are checked as text: only the worker has the vocabulary.
    """
    check(resolve_control_tokens(grammar, {}))
    return grammar


def _check_size(source: str, limit: int = MAX_GRAMMAR_BYTES) -> None:
    if len(source.encode()) > limit:
        raise InvalidGrammar(f"it is larger than {limit} bytes")


@lru_cache(maxsize=32)
def _text_in_json(source: str) -> str:
    return text_and_quote(source)


@lru_cache(maxsize=32)
def _lark_of_gbnf(source: str) -> str:
    return to_lark(parse_gbnf(source))
