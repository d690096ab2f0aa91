"""Grammars of arguments that are not JSON: written from their schema, part by part.

A keyword that a notation leaves no way to enforce is given to ``leave_out`` with its
path.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from inference.output_parsers.notations.notation import Notation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.engine.structured_output.json_schema.prepared import PreparedSchema
    from inference.output_parsers.framing import Framing

_NOTHING = '""'
_SCALARS = ("number", "integer", "boolean", "null")
_OF_NUMBERS = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
)
_OF_OBJECTS = frozenset(("properties", "required", "additionalProperties"))
_OF_ARRAYS = frozenset(("items", "minItems", "maxItems"))
#: A key that the schema does not name.
_KEY = r"/[A-Za-z_][A-Za-z0-9_.-]*/"
_SINGLE_QUOTED = r"""/'([^'\\\n]|\\[\\'"nrt])*'/"""
_PYTHON_WORDS = {"boolean": ('"True"', '"False"'), "null": ('"None"',)}


class Pieces(Protocol):
    """What a grammar is made of; the methods return a rule's name or a piece of one."""

    def rule(self, name: str, body: str) -> str:
        """Add a rule."""

    def json(self, name: str, schema: dict[str, Any]) -> str:
        """Add the rule of a schema's values."""

    def text(self, text: str) -> str:
        """Match a text."""

    def until(self, *ends: str) -> str:
        """Match any text up to the first of these, and that."""


def arguments_in_notation(
    pieces: Pieces,
    name: str,
    framing: Framing,
    prepared: PreparedSchema,
    leave_out: Callable[[str], None],
) -> str:
    """Return what matches the arguments of a tool's calls.

    ``name`` begins the names of rules. The framing has a notation.
    """
    writer: _Writer
    if isinstance(framing.notation, Notation):
        writer = _InNotation(pieces, name, prepared, leave_out, framing.notation)
    else:
        writer = _InPython(pieces, name, prepared, leave_out)
    return writer.members(prepared.body, "")


class _Writer:
    """Writes the rules of one tool's arguments."""

    separator = ", "
    is_sorted = False

    def __init__(
        self,
        pieces: Pieces,
        name: str,
        prepared: PreparedSchema,
        leave_out: Callable[[str], None],
    ) -> None:
        self.pieces = pieces
        self.prepared = prepared
        self.leave_out = leave_out
        self._name = name
        self._numbers = count()
        self._anything = ""

    def member(self, key: str, schema: Any, path: str) -> str:
        """Return what matches a key and its value."""
        raise NotImplementedError

    def any_member(self) -> str:
        """Return what matches a member of any name."""
        raise NotImplementedError

    def rule(self, body: str) -> str:
        """Add a rule; return its name."""
        return self.pieces.rule(f"{self._name}_{next(self._numbers)}", body)

    def json(self, schema: dict[str, Any]) -> str:
        """Add the rule of a schema's values; return its name."""
        document = self.prepared.document(schema)
        return self.pieces.json(f"{self._name}_{next(self._numbers)}", document)

    def members(self, schema: dict[str, Any], path: str) -> str:
        """Return what matches the members of an object, in one order."""
        for keyword in schema.keys() - _OF_OBJECTS - {"type"}:
            self.leave_out(_join(path, keyword))
        properties = dict(schema.get("properties", {}))
        required = schema.get("required", ())
        others = schema.get("additionalProperties", not properties)
        for key in required:
            properties.setdefault(key, schema.get("additionalProperties", True))
        keys = sorted(properties, key=str.lower) if self.is_sorted else properties
        found = []
        for key in keys:
            value = properties[key]
            if value is not False:
                where = _join(path, f"properties.{key}")
                found.append((self.rule(self.member(key, value, where)), key))
        named = [(rule, key in required) for rule, key in found]
        if named or others is False:
            return self._in_order(named)
        member = self.rule(self.any_member())
        return self.several(member, 0, None)

    def several(self, rule: str, low: int, high: int | None) -> str:
        """Return what matches a rule several times, with separators."""
        if high == 0:
            return _NOTHING
        separator = self.pieces.text(self.separator) if self.separator else ""
        most = "" if high is None else str(high - 1)
        all_of_them = f"{rule} ({separator} {rule}){{{max(low - 1, 0)},{most}}}"
        return all_of_them if low else f"({all_of_them})?"

    def _in_order(self, members: Sequence[tuple[str, bool]]) -> str:
        """Return what matches rules in this order, those that are not required or not.

        Written from the end: what may follow a member, and what may be the first one.
        """
        after, first = _NOTHING, _NOTHING
        separator = self.pieces.text(self.separator) if self.separator else ""
        for rule, is_required in reversed(members):
            end = "" if after == _NOTHING else f" {after}"
            here, later = f"{rule}{end}", f"{separator} {rule}{end}"
            first = here if is_required else f"{here} | {first}"
            after = self.rule(later if is_required else f"{later} | {after}")
            first = self.rule(first)
        return first


class _InPython(_Writer):
    """Values are JSON, words of Python's, or strings between single quotes."""

    def member(self, key: str, schema: Any, path: str) -> str:
        body = {} if schema is True else schema
        return f"{self.pieces.text(f'{key}=')} {self._value(body)}"

    def any_member(self) -> str:
        return f'{_KEY} "=" {self._value({})}'

    def _value(self, schema: dict[str, Any]) -> str:
        options = [self.json(schema)]
        if schema.keys() <= {"type"}:
            for kind in _types(schema) or ("string", "boolean", "null"):
                options += _PYTHON_WORDS.get(kind, ())
                if kind == "string":
                    options.append(_SINGLE_QUOTED)
        return f"({' | '.join(options)})"


class _InNotation(_Writer):
    """Values in the notation of a family, each with the text that closes it."""

    def __init__(
        self,
        pieces: Pieces,
        name: str,
        prepared: PreparedSchema,
        leave_out: Callable[[str], None],
        notation: Notation,
    ) -> None:
        super().__init__(pieces, name, prepared, leave_out)
        self.notation = notation
        self.separator = notation.separator
        self.is_sorted = notation.is_sorted
        self._references: dict[tuple[str, str], str] = {}

    def member(self, key: str, schema: Any, path: str) -> str:
        pair = self.notation.member
        head = self.pieces.text(pair.before_name + key + pair.between)
        return f"{head} {self._value(schema, pair.closing(key), path)}"

    def any_member(self) -> str:
        pair = self.notation.member
        before = self.pieces.text(pair.before_name) if pair.before_name else ""
        if not pair.after_name:
            return f"{before} {_KEY} {self.pieces.text(pair.between)} {self._any('')}"
        # A grammar cannot ask for the same name again, nor count what is nested. Each
        # tag is one piece: the lexer does not go back within "</invoke>".
        mark = self.pieces.text(pair.before_name.removesuffix("<"))
        key = _KEY.strip("/")
        value = f"{self.pieces.until(pair.after)} /{key}>/"
        return rf"{mark} /<{key}>/ {value} ({mark} /<\/{key}>/)*"

    def _value(self, schema: Any, closing: str, path: str) -> str:
        """Return what matches a value of this schema, and what closes it."""
        if schema is True or not schema:
            return self._any(closing)
        if "$ref" in schema and len(schema) == 1:
            return self._reference(schema["$ref"], closing, path)
        types = _types(schema)
        for keyword in ("enum", "const"):
            if keyword in schema:
                return self._one_of(schema, keyword, closing, path)
        if "anyOf" in schema:
            self._check(schema, {"anyOf", "type"}, path)
            options = [
                self._value(option, closing, f"{path}.anyOf[{index}]")
                for index, option in enumerate(schema["anyOf"])
            ]
            return f"({' | '.join(self.rule(option) for option in options)})"
        if not types:
            self._check(schema, set(), path)
            return self._any(closing)
        allowed = {"type"}
        for kind, keywords in (
            ("object", _OF_OBJECTS),
            ("array", _OF_ARRAYS),
            ("number", _OF_NUMBERS),
            ("integer", _OF_NUMBERS),
        ):
            if kind in types:
                allowed |= keywords
        self._check(schema, allowed, path)
        return f"({' | '.join(self._typed(schema, types, closing, path))})"

    def _typed(
        self, schema: dict[str, Any], types: Sequence[str], closing: str, path: str
    ) -> list[str]:
        """Return what matches each type of value."""
        if "string" in types and not self.notation.quotes:
            # Text without quotes is every other value too.
            return [self.pieces.until(closing)]
        options = []
        if "string" in types:
            options.append(self._string(closing))
        if scalars := [kind for kind in types if kind in _SCALARS]:
            limits = {k: v for k, v in schema.items() if k in _OF_NUMBERS}
            options.append(
                f"{self.json({**limits, 'type': scalars})} {self._text(closing)}"
            )
        if "array" in types:
            options.append(f"{self._array(schema, path)} {self._text(closing)}")
        if "object" in types:
            options.append(self._object(schema, closing, path))
        return options

    def _string(self, closing: str) -> str:
        quotes = self.notation.quotes
        return (
            f"{self.pieces.text(quotes)} {self.pieces.until(quotes)} "
            f"{self._text(closing)}"
        )

    def _object(self, schema: dict[str, Any], closing: str, path: str) -> str:
        is_open = not schema.get("properties") and not schema.get("required")
        if is_open and self.notation.member.after_name:
            return self._any(closing)
        kept = {k: v for k, v in schema.items() if k in _OF_OBJECTS}
        begin, end = self.notation.object
        members = self.members(kept, path)
        return f"{self._text(begin)} {members} {self._text(end + closing)}"

    def _array(self, schema: dict[str, Any], path: str) -> str:
        begin, end = self.notation.array
        before, after = self.notation.item
        items = schema.get("items", True)
        if items is False:
            return self._text(begin + end)
        value = self._value(items, after, f"{path}.items")
        item = self.rule(f"{self._text(before)} {value}")
        items = self.several(item, schema.get("minItems", 0), schema.get("maxItems"))
        return f"{self._text(begin)} {items} {self._text(end)}"

    def _one_of(
        self, schema: dict[str, Any], keyword: str, closing: str, path: str
    ) -> str:
        self._check(schema, {"type", "enum", "const"}, path)
        values = schema["enum"] if keyword == "enum" else [schema["const"]]
        written = (self.notation.write(value) + closing for value in values)
        return f"({' | '.join(map(self._text, written))})"

    def _reference(self, reference: str, closing: str, path: str) -> str:
        key = (reference, closing)
        if key not in self._references:
            name = f"{self._name}_{next(self._numbers)}"
            self._references[key] = name
            target = self.prepared.definitions[reference.removeprefix("#/$defs/")]
            self.pieces.rule(name, self._value(target, closing, path))
        return self._references[key]

    def _any(self, closing: str) -> str:
        """Return what matches a value of any kind, and what closes it."""
        if not self.notation.quotes:
            return self.pieces.until(closing)
        if not self._anything:
            self._anything = f"{self._name}_any"
            item = f"{self._name}_any_item"
            self.pieces.rule(item, self._anything)
            member = self.rule(self.any_member())
            options = [
                self._string(""),
                self.json({"type": list(_SCALARS)}),
                _around(self.notation.array, self.several(item, 0, None), self._text),
                _around(
                    self.notation.object, self.several(member, 0, None), self._text
                ),
            ]
            self.pieces.rule(self._anything, " | ".join(options))
        return f"{self._anything} {self._text(closing)}"

    def _check(
        self, schema: dict[str, Any], allowed: set[str] | frozenset[str], path: str
    ) -> None:
        for keyword in schema.keys() - allowed:
            self.leave_out(_join(path, keyword))

    def _text(self, text: str) -> str:
        return self.pieces.text(text) if text else ""


def _around(brackets: tuple[str, str], inner: str, text: Callable[[str], str]) -> str:
    return f"{text(brackets[0])} {inner} {text(brackets[1])}"


def _types(schema: dict[str, Any]) -> list[str]:
    """Return the types that a schema states, or that its keywords imply."""
    stated = schema.get("type", [])
    if not stated:
        return ["object"] * ("properties" in schema) or ["array"] * ("items" in schema)
    return [stated] if isinstance(stated, str) else list(stated)


def _join(path: str, keyword: str) -> str:
    return f"{path}.{keyword}" if path else keyword
