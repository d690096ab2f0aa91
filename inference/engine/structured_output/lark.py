r"""Prepares Lark grammars from requests; refuses what llguidance would ignore.

That is unknown options, and temperatures of rules. Schemas inside (``%json {…}``) are
prepared like any other. In regular expressions ``\d``, ``\w`` and ``\s`` are ASCII.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from inference.engine.structured_output.gbnf.parser import GrammarSyntaxError
from inference.engine.structured_output.json_schema.patterns import ascii_classes
from inference.engine.structured_output.json_schema.preparation import prepare_schema

if TYPE_CHECKING:
    from inference.engine.structured_output.json_schema.style import JsonStyle

MAX_BYTES = 32 * 1024
MAX_SCHEMA_BYTES = 512 * 1024
_PARTS = re.compile(
    r"""
      (?P<comment>(?://|\#)[^\n]*)
    | (?P<text>"(?:\\.|[^"\\])*")
    | (?P<regex>/(?:\\.|[^/\\])+/)
    | (?P<schema>%json\b\s*)
    | (?P<options>%llguidance\b\s*)
    | (?P<temperature>\btemperature\s*=)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPTIONS = {"allow_initial_skip", "ignore_once", "no_forcing"}
_decode = json.JSONDecoder().raw_decode


def prepare_lark(source: str, style: JsonStyle) -> str:
    """Return the prepared grammar. Raises GrammarSyntaxError or SchemaError."""
    texts: list[str] = []
    schemas: list[str] = []
    at = 0
    while found := _PARTS.search(source, at):
        is_regex = found.lastgroup == "regex"
        spelt = ascii_classes(found[0]) if is_regex else found[0]
        texts.append(source[at : found.start()] + spelt)
        schemas.append("")
        at = found.end()
        match found.lastgroup:
            case "schema":
                schema, at = _json(source, at)
                document = prepare_schema(schema, style).document()
                schemas[-1] = json.dumps(document, ensure_ascii=False)
            case "options":
                options, at = _json(source, at)
                schemas[-1] = _options(options)
            case "temperature":
                raise GrammarSyntaxError("'temperature=' is not supported")
    texts.append(source[at:])
    _check_size("it", texts, MAX_BYTES)
    _check_size("what its schemas have", schemas, MAX_SCHEMA_BYTES)
    parts = zip(texts, [*schemas, ""], strict=True)
    return "".join(text + schema for text, schema in parts)


def _check_size(what: str, parts: list[str], limit: int) -> None:
    if sum(len(part.encode()) for part in parts) > limit:
        raise GrammarSyntaxError(f"{what} is larger than {limit} bytes")


def _json(source: str, at: int) -> tuple[Any, int]:
    try:
        return _decode(source, at)
    except (ValueError, RecursionError):
        line = source.count("\n", 0, at) + 1
        raise GrammarSyntaxError(f"there is no JSON object at line {line}") from None


def _options(value: Any) -> str:
    unknown = set(value) - _OPTIONS if isinstance(value, dict) else {"it"}
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise GrammarSyntaxError(f"the options of %llguidance are {known}")
    return json.dumps(value)
