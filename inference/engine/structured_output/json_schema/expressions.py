"""Regular expressions as values: parsed, and derived by a character.

An expression is a set of characters, a sequence, an alternation or a repetition. Equal
expressions are equal values, and the constructors simplify, so an expression has few
different derivatives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The first code point after those of characters.
_END = 0x110000
#: Expressions are gone through by recursion.
_MAX_SIZE = 100
_MAX_DEPTH = 10

Ranges = tuple[tuple[int, int], ...]


class TooComplex(Exception):
    """An expression that is too large, or has what no automaton recognizes."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some characters: ranges of code points, both ends included."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Then:
    """Two expressions, one after the other."""

    first: Expression
    rest: Expression


@dataclass(frozen=True, slots=True)
class Either:
    """One of some expressions; of none, nothing matches."""

    options: frozenset[Expression]


@dataclass(frozen=True, slots=True)
class AnyTimes:
    """An expression any number of times."""

    body: Expression


Expression = OneOf | Then | Either | AnyTimes
NOTHING = Either(frozenset())
EMPTY = AnyTimes(NOTHING)
ANYTHING = AnyTimes(OneOf(((0, _END - 1),)))


def sequence(first: Expression, rest: Expression) -> Expression:
    """Return two expressions one after the other."""
    if NOTHING in (first, rest):
        return NOTHING
    if first == EMPTY:
        return rest
    if isinstance(first, Then):
        return sequence(first.first, sequence(first.rest, rest))
    return first if rest == EMPTY else Then(first, rest)


def alternation(*options: Expression) -> Expression:
    """Return one of these expressions."""
    found: set[Expression] = set()
    for option in options:
        found |= option.options if isinstance(option, Either) else {option}
    if ANYTHING in found:
        return ANYTHING
    (only,) = found if len(found) == 1 else (None,)
    return only or Either(frozenset(found))


def is_nullable(expression: Expression) -> bool:
    """Whether the empty text matches."""
    match expression:
        case OneOf():
            return False
        case Then(first, rest):
            return is_nullable(first) and is_nullable(rest)
        case Either(options):
            return any(map(is_nullable, options))
        case AnyTimes():
            return True


def derivative(expression: Expression, character: int) -> Expression:
    """Return what must follow a character so that the whole matches."""
    match expression:
        case OneOf(ranges):
            is_in = any(low <= character <= high for low, high in ranges)
            return EMPTY if is_in else NOTHING
        case Then(first, rest):
            derived = sequence(derivative(first, character), rest)
            if is_nullable(first):
                derived = alternation(derived, derivative(rest, character))
            return derived
        case Either(options):
            return alternation(*(derivative(each, character) for each in options))
        case AnyTimes(body):
            return sequence(derivative(body, character), expression)


def boundaries(expression: Expression) -> list[int]:
    """Return where sets of characters begin, from 0 to the last code point's end.

    Characters between two of them are alike everywhere in the expression.
    """
    cuts = {0, _END}
    pending = [expression]
    while pending:
        match pending.pop():
            case OneOf(ranges):
                cuts |= {cut for low, high in ranges for cut in (low, high + 1)}
            case Then(first, rest):
                pending += (first, rest)
            case Either(options):
                pending += options
            case AnyTimes(body):
                pending.append(body)
    return sorted(cuts)


def parse(pattern: str) -> Expression:
    """Return a pattern in ECMA-262's syntax, without anchors. Raises TooComplex."""
    parser = _Parser(pattern)
    expression = parser.alternatives()
    if parser.rest:
        raise TooComplex
    return expression


_DIGITS: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_LINE_ENDS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_ESCAPED = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_CODE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\u\{([0-9a-fA-F]{1,5})\}")
_COUNT = re.compile(r"([*+?]|\{(\d{1,3})(,?)(\d{0,3})\})\??")


def _inverted(ranges: Ranges) -> Ranges:
    inverted, start = [], 0
    for low, high in sorted(ranges):
        if start < low:
            inverted.append((start, low - 1))
        start = max(start, high + 1)
    if start < _END:
        inverted.append((start, _END - 1))
    return tuple(inverted)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.rest = pattern
        self._size = 0
        self._depth = 0

    def alternatives(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TooComplex
        options = [self._sequence()]
        while self._takes("|"):
            options.append(self._sequence())
        self._depth -= 1
        return alternation(*options)

    def _takes(self, text: str) -> bool:
        is_next = self.rest.startswith(text)
        if is_next:
            self.rest = self.rest[len(text) :]
        return is_next

    def _sequence(self) -> Expression:
        items = []
        while self.rest and self.rest[0] not in "|)":
            items.append(self._repeated())
        whole: Expression = EMPTY
        for item in reversed(items):
            whole = sequence(item, whole)
        return whole

    def _repeated(self) -> Expression:
        before = self._size
        item = self._item()
        size = self._size - before
        found = _COUNT.match(self.rest)
        if not found:
            return item
        self.rest = self.rest[found.end() :]
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(
            found[1], (int(found[2] or 0), int(found[4]) if found[4] else None)
        )
        if found[2] and not found[3]:
            high = low
        self._grow(size * max(low, high or 0))
        whole: Expression = AnyTimes(item) if high is None else EMPTY
        for _ in range((high or low) - low):
            whole = alternation(EMPTY, sequence(item, whole))
        for _ in range(low):
            whole = sequence(item, whole)
        return whole

    def _grow(self, count: int) -> None:
        self._size += count
        if self._size > _MAX_SIZE:
            raise TooComplex

    def _item(self) -> Expression:
        self._grow(1)
        if self._takes("(?:") or (not self.rest.startswith("(?") and self._takes("(")):
            group = self.alternatives()
            if not self._takes(")"):
                raise TooComplex
            return group
        if self._takes("["):
            return OneOf(self._class())
        if self._takes("."):
            return OneOf(_inverted(_LINE_ENDS))
        if self.rest[0] in "^$*+?{}()":
            raise TooComplex
        return OneOf(self._character())

    def _class(self) -> Ranges:
        is_inverted = self._takes("^")
        ranges: list[tuple[int, int]] = []
        while not self._takes("]"):
            found = self._character()
            is_range = self.rest.startswith("-") and not self.rest.startswith("-]")
            if is_range and found[0][0] == found[-1][1]:
                self._takes("-")
                last = self._character()
                if last[0][0] != last[-1][1]:
                    raise TooComplex
                found = ((found[0][0], last[0][0]),)
            ranges += found
        return _inverted(tuple(ranges)) if is_inverted else tuple(sorted(ranges))

    def _character(self) -> Ranges:
        """Return the characters that the next character or escape stands for."""
        if not self.rest:
            raise TooComplex
        if code := _CODE.match(self.rest):
            self.rest = self.rest[code.end() :]
            number = int(code[1] or code[2] or code[3], 16)
            return ((number, number),)
        is_escape = self._takes("\\")
        if is_escape and not self.rest:
            raise TooComplex
        letter, self.rest = self.rest[0], self.rest[1:]
        if not is_escape or not letter.isalnum():
            return ((ord(letter), ord(letter)),)
        if letter in _ESCAPED:
            return ((_ESCAPED[letter], _ESCAPED[letter]),)
        if letter.lower() in _CLASSES:
            ranges = _CLASSES[letter.lower()]
            return ranges if letter.islower() else _inverted(ranges)
        raise TooComplex
