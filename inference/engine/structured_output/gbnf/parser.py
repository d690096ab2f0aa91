"""Parses GBNF, the grammar language of llama.cpp, as llama.cpp does.

There is one ``rule ::= …`` on a line, made of ``"text"``, ``[a-z]``, ``[^a-z]``, ``.``,
rules' names, ``( )``, ``|`` and the repetitions ``* + ? {m} {m,} {m,n}``. The rule
``root`` is the start. Not supported: token elements, such as ``<[1000]>``.
"""

from __future__ import annotations

import re

from inference.engine.structured_output.gbnf.expressions import (
    Chars,
    Expression,
    Ref,
    Repeat,
    Rules,
    chars,
    either,
    repeat,
    sequence,
    text,
)

#: llguidance accepts Lark that is nested up to 29 deep.
MAX_DEPTH = 25
MAX_RULES = 300
MAX_REPETITIONS = 10_000
_ANY = chars([], negated=True)
_NAME = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNTS = re.compile(r"\{\s*(\d{1,9})\s*(,?)\s*(\d{1,9})?\s*\}")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", **{char: char for char in '\\"[]-'}}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_SIMPLE_REPEATS: dict[str, tuple[int, int | None]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
}


class GrammarSyntaxError(Exception):
    """The text is not a valid grammar; the message says what is wrong and where."""


def parse_gbnf(source: str) -> Rules:
    """Return the rules of a grammar, ``root`` among them. Raises GrammarSyntaxError."""
    return _Parser(source).parse()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0
        self._refs: dict[str, int] = {}

    def parse(self) -> Rules:
        rules: Rules = {}
        self._skip(_SPACE_AND_LINES)
        while self._at < len(self._source):
            name = self._name()
            self._skip(_SPACE)
            self._expect("::=")
            self._skip(_SPACE_AND_LINES)
            # As in llama.cpp, the last definition of a name counts.
            rules[name] = self._alternatives(nested=False)
            if len(rules) > MAX_RULES:
                raise self._error(f"more than {MAX_RULES} rules")
            if self._peek() not in ("", "\r", "\n"):
                raise self._error("expected a line break or the end")
            self._skip(_SPACE_AND_LINES)
        for name, at in {"root": 0, **self._refs}.items():
            if name not in rules:
                self._at = at
                raise self._error(f"there is no rule '{name}'")
        return rules

    def _alternatives(self, *, nested: bool) -> Expression:
        options = [self._sequence(nested=nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(_SPACE_AND_LINES)
            options.append(self._sequence(nested=nested))
        return either(options)

    def _sequence(self, *, nested: bool) -> Expression:
        space = _SPACE_AND_LINES if nested else _SPACE
        items: list[Expression] = []
        while (char := self._peek()) and char not in "|)\r\n":
            if char in "*+?{":
                if not items:
                    raise self._error("there is nothing to repeat")
                low, high = self._counts(char)
                items[-1] = _repeated(items[-1], low, high)
            else:
                items.append(self._element(char))
            self._skip(space)
        return sequence(items)

    def _element(self, char: str) -> Expression:
        if char == '"':
            return self._literal()
        if char == "[":
            return self._class()
        if char == "(":
            return self._group()
        if char == ".":
            self._at += 1
            return _ANY
        if char in "<!":
            raise self._error("tokens are not supported here, only characters")
        start = self._at
        name = self._name()
        self._refs.setdefault(name, start)
        return Ref(name)

    def _group(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"groups are nested deeper than {MAX_DEPTH}")
        self._at += 1
        self._skip(_SPACE_AND_LINES)
        group = self._alternatives(nested=True)
        self._expect(")")
        self._depth -= 1
        return group

    def _literal(self) -> Expression:
        self._at += 1
        value = []
        while self._peek() != '"':
            value.append(chr(self._char()))
        self._at += 1
        return text("".join(value))

    def _class(self) -> Chars:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            low = high = self._char()
            if self._peek() == "-" and self._source[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._char()
            if high < low:
                raise self._error("the range is upside down")
            ranges.append((low, high))
        if not ranges:
            raise self._error("the class of characters is empty")
        self._at += 1
        return chars(ranges, negated=negated)

    def _char(self) -> int:
        char = self._peek()
        if not char:
            raise self._error("unexpected end")
        if char != "\\":
            self._at += 1
            return ord(char)
        kind = self._source[self._at + 1 : self._at + 2]
        if kind in _ESCAPES:
            self._at += 2
            return ord(_ESCAPES[kind])
        digits = _HEX_DIGITS.get(kind, 0)
        code = self._source[self._at + 2 : self._at + 2 + digits]
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", code) or not digits:
            raise self._error("unknown escape")
        value = int(code, 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
            raise self._error("the escape is no Unicode character")
        self._at += 2 + digits
        return value

    def _counts(self, char: str) -> tuple[int, int | None]:
        if char in _SIMPLE_REPEATS:
            self._at += 1
            return _SIMPLE_REPEATS[char]
        found = _COUNTS.match(self._source, self._at)
        if found is None or (found[3] and not found[2]):
            raise self._error("expected {m}, {m,} or {m,n}")
        low = int(found[1])
        high = int(found[3]) if found[3] else None if found[2] else low
        if max(low, high or 0) > MAX_REPETITIONS:
            raise self._error(f"more than {MAX_REPETITIONS} repetitions")
        if high is not None and high < low:
            raise self._error("the repetition is upside down")
        self._at = found.end()
        return low, high

    def _name(self) -> str:
        found = _NAME.match(self._source, self._at)
        if found is None:
            raise self._error("expected the name of a rule")
        self._at = found.end()
        return found[0]

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._source, self._at)
        self._at = found.end() if found else self._at

    def _expect(self, token: str) -> None:
        if not self._source.startswith(token, self._at):
            raise self._error(f"expected {token}")
        self._at += len(token)

    def _error(self, reason: str) -> GrammarSyntaxError:
        line = self._source.count("\n", 0, self._at) + 1
        column = self._at - self._source.rfind("\n", 0, self._at)
        return GrammarSyntaxError(f"{reason}, at line {line}, column {column}")


def _repeated(item: Expression, low: int, high: int | None) -> Expression:
    # (x*)* and the like become x*, which the parser can match in only one way.
    if isinstance(item, Repeat) and item.low <= 1 and item.high is None and low <= 1:
        return repeat(item.item, min(item.low, low), None)
    return repeat(item, low, high)
