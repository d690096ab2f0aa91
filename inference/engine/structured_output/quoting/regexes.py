r"""Parses regular expressions of Lark grammars into expressions over characters.

The syntax is that of Rust's regex crate, of which this takes what grammars use: groups
with the flags ``i`` and ``s``, classes, escapes, repetitions. ``\d``, ``\w`` and ``\s``
are ASCII, as they are in all grammars here.
"""

from __future__ import annotations

import re
from typing import NoReturn

from inference.engine.structured_output.gbnf.expressions import (
    MAX_CHAR,
    Chars,
    Expression,
    chars,
    either,
    repeat,
    sequence,
)
from inference.engine.structured_output.gbnf.parser import (
    MAX_DEPTH,
    MAX_REPETITIONS,
    GrammarSyntaxError,
)
from inference.engine.structured_output.quoting.letter_case import Ranges, without_case

_DIGITS: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [(0x09, 0x0D), (0x20, 0x20)]
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_ESCAPES = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CODE = re.compile(
    r"x([0-9a-fA-F]{2})|[xuU]\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})"
    r"|U([0-9a-fA-F]{8})"
)
_GROUP = re.compile(r"\((?:\?P?<\w+>|\?([is]*)(?:-([is]+))?:)?")
_COUNTS = re.compile(r"\{(\d{1,9})(,?)(\d{1,9})?\}")
_SIMPLE: dict[str, tuple[int, int | None]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
}


def parse_regex(pattern: str, flags: str = "") -> Expression:
    """Return a pattern's expression. Raises GrammarSyntaxError.

    ``flags`` are those that hold for all of it: ``i`` and ``s``.
    """
    parser = _Parser(pattern, set(flags))
    expression = parser.alternatives()
    parser.end()
    return expression


class _Parser:
    def __init__(self, pattern: str, flags: set[str]) -> None:
        self._pattern = pattern
        self._flags = flags
        self._at = 0
        self._depth = 0

    def alternatives(self) -> Expression:
        options = [self._sequence()]
        while self._takes("|"):
            options.append(self._sequence())
        return either(options)

    def end(self) -> None:
        if self._at < len(self._pattern):
            self._refuse("')' closes no group")

    def _sequence(self) -> Expression:
        items: list[Expression] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated())
        return sequence(items)

    def _repeated(self) -> Expression:
        item = self._item()
        while True:
            counts = self._counts()
            if counts is None:
                return item
            item = repeat(item, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        counts = _SIMPLE.get(self._peek())
        if counts is not None:
            self._at += 1
        elif found := _COUNTS.match(self._pattern, self._at):
            self._at = found.end()
            low = int(found[1])
            high = int(found[3]) if found[3] else None if found[2] else low
            if max(low, high or 0) > MAX_REPETITIONS:
                self._refuse(f"more than {MAX_REPETITIONS} repetitions")
            counts = low, high
        else:
            return None
        if self._peek() == "?":
            self._refuse("a repetition that takes as little as it can")
        return counts

    def _item(self) -> Expression:
        letter = self._peek()
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._class()
        if letter == ".":
            self._at += 1
            return chars([] if "s" in self._flags else [(10, 10)], negated=True)
        if letter in "^$":
            self._refuse(f"look-around, as '{letter}'")
        if letter in "*+?{":
            self._refuse(f"'{letter}' repeats nothing")
        return self._chars(self._character())

    def _group(self) -> Expression:
        found = _GROUP.match(self._pattern, self._at)
        self._depth += 1
        if found is None or self._pattern.startswith("?", found.end()):
            self._refuse("look-around, and flags other than i and s of a group")
        if self._depth > MAX_DEPTH:
            self._refuse(f"groups that are nested deeper than {MAX_DEPTH}")
        self._at = found.end()
        outer = self._flags
        self._flags = (outer | set(found[1] or "")) - set(found[2] or "")
        group = self.alternatives()
        self._flags = outer
        if not self._takes(")"):
            self._refuse("a group that is not closed")
        self._depth -= 1
        return group

    def _class(self) -> Chars:
        self._at += 1
        negated = self._takes("^")
        ranges: Ranges = []
        is_first = True
        while is_first or self._peek() != "]":
            if self._peek() == "":
                self._refuse("a class of characters that is not closed")
            if self._pattern.startswith(("[", "&&", "--", "~~"), self._at):
                self._refuse("classes within classes")
            is_first = False
            found = self._character()
            if self._pattern.startswith("--", self._at):
                self._refuse("classes within classes")
            if self._peek() == "-" and self._pattern[self._at + 1 :][:1] != "]":
                self._at += 1
                last = self._character()
                (low, _), (_, high) = found[0], last[-1]
                if len(found) > 1 or len(last) > 1 or high < low:
                    self._refuse("a range of characters that is none")
                found = [(low, high)]
            ranges += found
        self._at += 1
        if "i" in self._flags:
            ranges = without_case(ranges)
        return chars(ranges, negated=negated)

    def _chars(self, ranges: Ranges) -> Chars:
        return chars(without_case(ranges) if "i" in self._flags else ranges)

    def _character(self) -> Ranges:
        """Return what the next character or escape stands for."""
        letter = self._peek()
        self._at += 1
        if letter != "\\":
            return [(ord(letter), ord(letter))]
        if code := _CODE.match(self._pattern, self._at):
            self._at = code.end()
            number = int(next(filter(None, code.groups())), 16)
            if number > MAX_CHAR or 0xD800 <= number <= 0xDFFF:
                self._refuse("a number that is no character's")
            return [(number, number)]
        letter = self._peek()
        self._at += 1
        if letter in _ESCAPES:
            return [(_ESCAPES[letter], _ESCAPES[letter])]
        if letter and letter.lower() in _CLASSES:
            ranges = _CLASSES[letter.lower()]
            negated = chars(ranges, negated=True)
            return ranges if letter.islower() else list(negated.ranges)
        if letter.isalnum() or letter in ("", "<", ">"):
            self._refuse(f"'\\{letter}'")
        return [(ord(letter), ord(letter))]

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _takes(self, text: str) -> bool:
        is_next = self._pattern.startswith(text, self._at)
        self._at += len(text) if is_next else 0
        return is_next

    def _refuse(self, what: str) -> NoReturn:
        start = max(self._at - 10, 0)
        near = self._pattern[start : self._at + 10]
        raise GrammarSyntaxError(
            f"in a regular expression, near '{near}': {what} cannot be enforced here"
        )
