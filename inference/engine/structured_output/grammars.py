"""Makes grammars from the members of requests, and checks them before anything runs.

The check needs no model: a grammar is compiled for a vocabulary of single bytes.
Only special tokens that a grammar names must wait for the model's own.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.engine.structured_output.deep_stack import on_deep_stack
from inference.engine.structured_output.gbnf.lexemes import to_lark
from inference.engine.structured_output.gbnf.parser import (
    GrammarSyntaxError,
    parse_gbnf,
)
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.json_schema import (
    PreparedSchema,
    prepare_schema,
)
from inference.engine.structured_output.lark import prepare_lark
from inference.engine.structured_output.schema_values import SchemaError

#: The size limit of a GBNF grammar, of a regular expression, and of all choices
#: together.
MAX_GRAMMAR_BYTES = 32 * 1024
MAX_CHOICES = 1_000
#: Limits of compiling and of a step: some 100 ms and 15 MB. A grammar that needs more
#: ends with an error, whatever is generated.
LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=100_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
#: The maximum of compilations of a schema's parts while looking for the fault.
_MAX_TRIALS = 300
#: Lines of llguidance's messages that quote the source, or name generated rules.
_EXCERPT = re.compile(r"\^*$|\d+ \||while processing json-schema:")
_ONE_OF = (
    "no value may match two of the options, and that is only seen where they differ "
    "in type or in a constant of a required property; use anyOf"
)


class InvalidGrammar(Exception):
    """A grammar that cannot be enforced; ``path`` is the place of the fault in it."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def json_object(param: str = "") -> Grammar:
    """Return the grammar of any JSON object."""
    return json_schema({"type": "object"}, param)


def json_schema(schema: Any, param: str = "") -> Grammar:
    """Return the grammar of a JSON schema. Raises InvalidGrammar."""
    try:
        prepared = prepare_schema(schema)
    except SchemaError as error:
        raise InvalidGrammar(error.message, error.path) from None
    text = _schema_grammar(prepared.document())
    try:
        _check(text)
    except InvalidGrammar as error:
        raise _located(prepared, error) from None
    return Grammar(text, param)


def regex(pattern: str, param: str = "") -> Grammar:
    """Return the grammar of texts that match a regular expression as a whole.

    The syntax is that of Rust's regex crate. Raises InvalidGrammar.
    """
    _check_size(pattern)
    text = LLMatcher.grammar_from_regex(pattern)
    _check(text)
    return Grammar(text, param)


def choice(texts: list[str], param: str = "") -> Grammar:
    """Return the grammar of one of these texts. Raises InvalidGrammar."""
    _check_size("".join(texts))
    literals = [json.dumps(text, ensure_ascii=False) for text in texts]
    options = " | ".join(literals).replace("\x7f", "\\u007f")
    text = f"start: CHOICE\nCHOICE: {options}\n"
    _check(text)
    return Grammar(text, param)


def gbnf(source: str, param: str = "") -> Grammar:
    """Return the grammar of a GBNF text. Raises InvalidGrammar."""
    _check_size(source)
    try:
        text = _lark_of_gbnf(source)
    except GrammarSyntaxError as error:
        raise InvalidGrammar(str(error)) from None
    _check(text)
    return Grammar(text, param)


def lark(source: str, param: str = "") -> Grammar:
    """Return the grammar of a Lark text. Raises InvalidGrammar.

    Schemas in it (``%json {…}``) are prepared like those of ``json_schema``.
    """
    if source.lstrip().startswith("{"):
        # llguidance would parse it as its own JSON, unchecked.
        raise InvalidGrammar("it is no Lark: it begins with '{'")
    try:
        text = prepare_lark(source)
    except GrammarSyntaxError as error:
        raise InvalidGrammar(str(error)) from None
    except SchemaError as error:
        place = f" at '{error.path}'" if error.path else ""
        raise InvalidGrammar(f"%json{place}: {error.message}") from None
    _check(text)
    return Grammar(text, param)


def checked(grammar: Grammar) -> Grammar:
    """Return the grammar if it can be enforced. Raises InvalidGrammar.

    Its control tokens are checked as text: only the worker has the vocabulary.
    """
    _check(resolve_control_tokens(grammar, {}))
    return grammar


def compile_grammar(tokenizer: LLTokenizer, source: str) -> LLMatcher:
    """Return the grammar's matcher in its initial state. Raises InvalidGrammar."""

    def compiled() -> LLMatcher:
        matcher = LLMatcher(tokenizer, source, log_level=0, limits=LIMITS)
        if not matcher.is_error():
            # This is where the parser's own limits apply first.
            matcher.compute_bitmask()
        return matcher

    matcher = on_deep_stack(compiled)
    if matcher.is_error():
        reason = _one_line(matcher.get_error())
        if reason == "NoExtensionBias":
            reason = "no text matches it"
        raise InvalidGrammar(reason)
    return matcher


def _check_size(source: str) -> None:
    if len(source.encode()) > MAX_GRAMMAR_BYTES:
        raise InvalidGrammar(f"it is larger than {MAX_GRAMMAR_BYTES} bytes")


@lru_cache(maxsize=64)
def _check(source: str) -> None:
    """Raise InvalidGrammar if the grammar cannot be enforced."""
    warnings = _validate(source)
    if not warnings:
        compile_grammar(_tokens_of_bytes(), source)
    elif any(not warning.startswith("no tokenizer") for warning in warnings):
        raise InvalidGrammar(_one_line("; ".join(warnings)))


def _validate(source: str) -> list[str]:
    """Return llguidance's warnings. Raises InvalidGrammar."""
    is_error, messages = on_deep_stack(
        lambda: LLMatcher.validate_grammar_with_warnings(source, limits=LIMITS)
    )
    if is_error:
        raise InvalidGrammar(_one_line(messages[0]))
    return messages


@lru_cache(maxsize=32)
def _lark_of_gbnf(source: str) -> str:
    return to_lark(parse_gbnf(source))


@cache
def _tokens_of_bytes() -> LLTokenizer:
    return LLTokenizer("byte")


def _schema_grammar(document: dict[str, Any]) -> str:
    return json.dumps({"grammars": [{"json_schema": document}]}, ensure_ascii=False)


def _one_line(message: str) -> str:
    """Return llguidance's message as one line, without its excerpts."""
    lines = [line.strip() for line in message.replace("<non-verbose/>", "").split("\n")]
    return " ".join(line for line in lines if not _EXCERPT.match(line))[:500]


# Where in a schema llguidance's error comes from --------------------------------


def _located(prepared: PreparedSchema, error: InvalidGrammar) -> InvalidGrammar:
    """Return the error with the path of the smallest part that causes it."""
    trials = iter(range(_MAX_TRIALS))

    def fails(body: dict[str, Any]) -> str | None:
        if next(trials, None) is None:
            return None
        try:
            _validate(_schema_grammar(prepared.document(body)))
        except InvalidGrammar as error:
            return error.message
        return None

    body, message = prepared.body, error.message
    seen: set[int] = set()
    while id(body) not in seen:
        seen.add(id(body))
        for part in prepared.parts(body):
            reason = None if id(part) in seen else fails(part)
            if reason and (reason == message or _both_unsatisfiable(reason, message)):
                body, message = part, reason
                break
    path = prepared.places.get(id(body), "")
    for keyword in sorted(body, key=lambda name: (name not in message, name == "type")):
        less = {name: value for name, value in body.items() if name != keyword}
        if fails(body) and not fails(less):
            path = f"{path}.{keyword}" if path else keyword
            break
    return InvalidGrammar(_ONE_OF if "oneOf" in message else message, path)


def _both_unsatisfiable(*messages: str) -> bool:
    return all(message.startswith("Unsatisfiable") for message in messages)
