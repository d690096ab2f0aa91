"""What an answer must be: the fields of OpenAI, vLLM and llama-server for it.

Each becomes a grammar and is checked at once, so what cannot be enforced is refused
before anything is queued, with the place of the fault as ``param``.
"""

from __future__ import annotations

import json
import re
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
from inference.api.errors import InvalidRequest, quote
from inference.engine.structured_output import grammars

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.structured_output.grammar import Grammar

_MAX_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: A rule of GBNF: the two kinds of grammars cannot be taken for each other.
_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GrammarField:
    """A value that becomes a grammar."""

    kind: Field
    make: Callable[[Any, str], Grammar]

    def parse(self, value: Any, path: str) -> Grammar:
        """Return the grammar. Raises InvalidRequest."""
        try:
            return self.make(self.kind.parse(value, path), path)
        except grammars.InvalidGrammar as error:
            param = f"{path}.{quote(error.path)}" if error.path else path
            raise InvalidRequest(
                f"Invalid value for '{param}': {error.message}.", param=param
            ) from None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return self.kind.schema()


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON schema, which is looked at where it becomes a grammar."""

    as_text: bool = False

    def parse(self, value: Any, path: str) -> Any:
        """Return the schema, read if it is a text. Raises InvalidRequest."""
        if self.as_text and isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise InvalidRequest(
                    f"Invalid value for '{path}': it is no JSON.", param=path
                ) from None
        if not isinstance(value, dict):
            raise wrong_type(path, "a JSON schema", value)
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": ["object", "string"] if self.as_text else "object"}


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a schema: OpenAI's letters."""

    def parse(self, value: Any, path: str) -> str:
        """Return the name. Raises InvalidRequest."""
        name = Text(1, _MAX_NAME).parse(value, path)
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"Invalid value for '{path}': only a-z, A-Z, 0-9, underscores and "
                "dashes are allowed.",
                param=path,
            )
        return name

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "pattern": f"^{_NAME.pattern}$"}


def _text_grammar(source: str, param: str) -> Grammar:
    """Return the grammar of a text in GBNF or Lark."""
    is_gbnf = _GBNF_RULE.search(source) is not None
    return (grammars.gbnf if is_gbnf else grammars.lark)(source, param)


_SCHEMA = GrammarField(Schema(), grammars.json_schema)
_SCHEMA_OR_TEXT = GrammarField(Schema(as_text=True), grammars.json_schema)
_REGEX = GrammarField(Text(1), grammars.regex)
_CHOICE = GrammarField(ListOf(Text(1), 1, grammars.MAX_CHOICES), grammars.choice)
_GRAMMAR = GrammarField(Text(1), _text_grammar)
_GBNF = GrammarField(Text(1), grammars.gbnf)
_LARK = GrammarField(Text(1), grammars.lark)


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """OpenAI's: text, any JSON object, or the values of a schema.

    An object's own ``schema`` is llama-server's form.
    """

    def parse(self, value: Any, path: str) -> Grammar | None:
        """Return the grammar, if one is asked for. Raises InvalidRequest."""
        kind = _type_of(value, path, _FORMATS)
        given = _FORMATS[kind].parse(value, path)
        if kind == "json_schema":
            found: Grammar = given["json_schema"]["schema"]
            return found
        if kind == "json_object":
            return given.get("schema") or grammars.json_object(path)
        return None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"oneOf": [record.schema() for record in _FORMATS.values()]}


@dataclass(frozen=True, slots=True)
class GrammarText:
    """llama-server's: a grammar in GBNF; or an object that says in which language."""

    def parse(self, value: Any, path: str) -> Grammar | None:
        """Return the grammar; "" asks for none. Raises InvalidRequest."""
        if isinstance(value, dict):
            kind = _type_of(value, path, _LANGUAGES)
            found: Grammar = _LANGUAGES[kind].parse(value, path)["value"]
            return found
        return None if value == "" else _GBNF.parse(value, path)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        records = [record.schema() for record in _LANGUAGES.values()]
        return {"oneOf": [{"type": "string"}, *records]}


@dataclass(frozen=True, slots=True)
class StructuredOutputs:
    """vLLM's: an object with one of its kinds."""

    def parse(self, value: Any, path: str) -> Grammar | None:
        """Return the grammar, if one is asked for. Raises InvalidRequest."""
        given = _STRUCTURED.parse(value, path)
        if not given.pop("json_object", False):
            return _only(given, f"{path}.")
        any_object = {"json_object": grammars.json_object(f"{path}.json_object")}
        return _only({**any_object, **given}, f"{path}.")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return _STRUCTURED.schema()


def _typed(kind: str, **members: Field) -> Record:
    return Record({"type": Choice((kind,)), **members}, ("type", *members))


_FORMATS = {
    "text": _typed("text"),
    "json_object": Record(
        {"type": Choice(("json_object",)), "schema": _SCHEMA}, ("type",)
    ),
    "json_schema": _typed(
        "json_schema",
        json_schema=Record(
            {
                "name": Name(),
                "description": Text(),
                "strict": Boolean(),
                "schema": _SCHEMA,
            },
            ("name", "schema"),
        ),
    ),
}
_LANGUAGES = {
    "gbnf": _typed("gbnf", value=_GBNF),
    "lark": _typed("lark", value=_LARK),
}
_STRUCTURED = Record(
    {
        "json": _SCHEMA_OR_TEXT,
        "regex": _REGEX,
        "choice": _CHOICE,
        "grammar": _GRAMMAR,
        "json_object": Boolean(),
    }
)

#: Members that mean the same in both kinds of completion; at most one may be given.
FIELDS: dict[str, Field] = {
    "response_format": ResponseFormat(),
    "structured_outputs": StructuredOutputs(),
    "guided_json": _SCHEMA_OR_TEXT,
    "guided_regex": _REGEX,
    "guided_choice": _CHOICE,
    "guided_grammar": _GRAMMAR,
    "grammar": GrammarText(),
    "json_schema": _SCHEMA,
}
_NOT_OPENAIS = "Not in OpenAI's API."
HELP = {
    "response_format": "What the answer must be: text, any JSON object, or the values "
    "of a JSON schema, which is enforced whether it is strict or not.",
    "structured_outputs": "The same in vLLM's words: json, regex, choice, grammar or "
    f"json_object. {_NOT_OPENAIS}",
    "guided_json": f"A JSON schema for the answer. {_NOT_OPENAIS}",
    "guided_regex": f"A regular expression that the answer matches. {_NOT_OPENAIS}",
    "guided_choice": f"The texts that the answer may be. {_NOT_OPENAIS}",
    "guided_grammar": f"A grammar of the answer, in GBNF or Lark. {_NOT_OPENAIS}",
    "grammar": "A grammar of the answer in GBNF; or an object of type gbnf or lark "
    f"with the grammar as its value. {_NOT_OPENAIS}",
    "json_schema": f"A JSON schema for the answer. {_NOT_OPENAIS}",
}
#: What takes the end of the answer away from the grammar.
_OVER_THE_END = ("ignore_eos", "min_tokens")


def grammar_of(given: dict[str, Any]) -> Grammar | None:
    """Return what the answer must be, if the members say it. Raises InvalidRequest."""
    asked = {name: given[name] for name in FIELDS if given.get(name) is not None}
    grammar = _only(asked)
    if grammar is not None:
        for name in _OVER_THE_END:
            if given.get(name):
                raise InvalidRequest(
                    f"'{name}' cannot be had with '{next(iter(asked))}', which says "
                    "where the answer ends.",
                    param=name,
                )
    return grammar


def _only(asked: dict[str, Grammar], prefix: str = "") -> Grammar | None:
    names = [prefix + name for name in asked]
    if len(names) > 1:
        raise InvalidRequest(
            f"'{names[0]}' and '{names[1]}' both say what the answer must be; send one "
            "of them.",
            param=names[1],
        )
    return next(iter(asked.values()), None)


def _type_of(value: Any, path: str, kinds: dict[str, Record]) -> str:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if "type" not in value:
        raise missing(f"{path}.type")
    return Choice(tuple(kinds)).parse(value["type"], f"{path}.type")
