"""Expressions over characters, the building blocks of grammars.

An expression without a reference to a recursive rule is regular, and has derivatives
(Brzozowski, Derivatives of Regular Expressions, 1964): what remains of it after a
character.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHAR = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class Chars:
    """One character from these ranges, which are sorted and disjoint."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a rule."""

    name: str


@dataclass(frozen=True, slots=True)
class Seq:
    """A sequence of items; without items, the empty text."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """A choice of options; without options, it matches nothing."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repetition, ``low`` to ``high`` times; ``high`` None is unlimited."""

    item: Expression
    low: int
    high: int | None


Expression = Chars | Ref | Seq | Alt | Repeat
Rules = dict[str, Expression]

EMPTY = Seq(())
NOTHING = Alt(())


def chars(ranges: list[tuple[int, int]], *, negated: bool = False) -> Chars:
    """Return the characters in these ranges, or all others; never surrogates."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted([*ranges, _SURROGATES] if negated else ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    if not negated:
        return Chars(tuple(merged))
    starts = [0, *(high + 1 for _, high in merged)]
    ends = [*(low - 1 for low, _ in merged), MAX_CHAR]
    return Chars(
        tuple(gap for gap in zip(starts, ends, strict=True) if gap[0] <= gap[1])
    )


def text(value: str) -> Expression:
    """Return the expression of a literal text."""
    return sequence([Chars(((ord(char), ord(char)),)) for char in value])


def sequence(items: list[Expression]) -> Expression:
    """Return a sequence of expressions, simplified."""
    flat: list[Expression] = []
    for item in items:
        if item == NOTHING:
            return NOTHING
        flat.extend(item.items if isinstance(item, Seq) else [item])
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def either(options: list[Expression]) -> Expression:
    """Return a choice of expressions, simplified."""
    flat: dict[Expression, None] = {}
    for option in options:
        of = option.options if isinstance(option, Alt) else (option,)
        flat.update(dict.fromkeys(of))
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def repeat(item: Expression, low: int, high: int | None) -> Expression:
    """Return a repetition, simplified."""
    if high == 0 or item == EMPTY:
        return EMPTY
    return item if low == high == 1 else Repeat(item, low, high)


def overlap(left: frozenset[Chars], right: frozenset[Chars]) -> bool:
    """Whether a character is in a set of both sides."""
    return any(
        low <= other_high and other_low <= high
        for one in left
        for other in right
        for low, high in one.ranges
        for other_low, other_high in other.ranges
    )


class Derivatives:
    """Computes what regular expressions begin with, and what a character leaves."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._after: dict[tuple[Expression, int], Expression] = {}
        self._first: dict[Expression, frozenset[Chars]] = {}

    def is_nullable(self, expression: Expression) -> bool:
        """Whether the empty text matches."""
        match expression:
            case Chars():
                return False
            case Ref(name):
                return self.is_nullable(self._rules[name])
            case Seq(items):
                return all(map(self.is_nullable, items))
            case Alt(options):
                return any(map(self.is_nullable, options))
            case Repeat(item, low, _):
                return low == 0 or self.is_nullable(item)

    def first(self, expression: Expression) -> frozenset[Chars]:
        """Return the sets of characters with which a match can begin."""
        found = self._first.get(expression)
        if found is None:
            found = self._first[expression] = self._find_first(expression)
        return found

    def _find_first(self, expression: Expression) -> frozenset[Chars]:
        match expression:
            case Chars():
                return frozenset([expression])
            case Ref(name):
                return self.first(self._rules[name])
            case Alt(options):
                return frozenset().union(*map(self.first, options))
            case Repeat(item, _, _):
                return self.first(item)
            case Seq(items):
                found: frozenset[Chars] = frozenset()
                for item in items:
                    found |= self.first(item)
                    if not self.is_nullable(item):
                        break
                return found

    def after(self, expression: Expression, char: int) -> Expression:
        """Return what remains of a match after ``char``."""
        found = self._after.get((expression, char))
        if found is None:
            found = self._take(expression, char)
            self._after[expression, char] = found
        return found

    def _take(self, expression: Expression, char: int) -> Expression:
        match expression:
            case Chars(ranges):
                is_in = any(low <= char <= high for low, high in ranges)
                return EMPTY if is_in else NOTHING
            case Ref(name):
                return self.after(self._rules[name], char)
            case Alt(options):
                return either([self.after(option, char) for option in options])
            case Repeat(item, low, high):
                fewer = None if high is None else high - 1
                rest = repeat(item, max(low - 1, 0), fewer)
                return sequence([self.after(item, char), rest])
            case Seq(items):
                return self._after_items(items, char)

    def _after_items(self, items: tuple[Expression, ...], char: int) -> Expression:
        options = []
        for index, item in enumerate(items):
            rest = items[index + 1 :]
            options.append(sequence([self.after(item, char), *rest]))
            if not self.is_nullable(item):
                break
        return either(options)
