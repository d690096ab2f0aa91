"""Grammars of what JSON writes between the quotes of a text."""

from __future__ import annotations

from inference.engine.structured_output.gbnf.expressions import (
    Alt,
    Chars,
    Expression,
    Ref,
    Repeat,
    Seq,
    chars,
    either,
    repeat,
    sequence,
    text,
)
from inference.engine.structured_output.gbnf.lexemes import to_lark
from inference.engine.structured_output.gbnf.parser import GrammarSyntaxError
from inference.engine.structured_output.quoting.lark_rules import parse_lark

_QUOTE = text('"')
_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 0x22: '"', 0x5C: "\\"}
_CONTROLS = 0x20


def text_and_quote(source: str) -> str:
    """Return the grammar of a text as JSON writes it, with the quote that ends it.

    ``source`` is the text's own grammar. Both are in Lark. Raises GrammarSyntaxError.
    """
    try:
        rules = {_own(name): _quoted(body) for name, body in parse_lark(source).items()}
    except RecursionError:
        raise GrammarSyntaxError("the grammar is nested too deep") from None
    known = {**rules, "root": sequence([rules["start"], _QUOTE])}
    return to_lark(known)


def _own(name: str) -> str:
    """Return a rule's name, which is not that of the whole text."""
    return "-root" if name == "root" else name


def _quoted(expression: Expression) -> Expression:
    match expression:
        case Chars(ranges):
            return _spelt(ranges)
        case Seq(items):
            return sequence([_quoted(item) for item in items])
        case Alt(options):
            return either([_quoted(option) for option in options])
        case Repeat(item, low, high):
            return repeat(_quoted(item), low, high)
        case Ref(name):
            return Ref(_own(name))


def _spelt(ranges: tuple[tuple[int, int], ...]) -> Expression:
    """Return what JSON writes of one of these characters: in one way only."""
    plain, short, long = [], [], []
    for low, high in ranges:
        for code in range(low, min(high + 1, _CONTROLS)):
            if code in _SHORT:
                short.append(_SHORT[code])
            else:
                long.append(code)
        start = max(low, _CONTROLS)
        for code in (0x22, 0x5C):
            if start <= code <= high:
                short.append(_SHORT[code])
                if start < code:
                    plain.append((start, code - 1))
                start = code + 1
        if start <= high:
            plain.append((start, high))
    options: list[Expression] = [chars(plain)] if plain else []
    if short:
        letters = chars([(ord(letter), ord(letter)) for letter in short])
        options.append(sequence([text("\\"), letters]))
    for first in (0, 1):
        digits = [ord(f"{code % 16:x}") for code in long if code // 16 == first]
        if digits:
            last = chars([(digit, digit) for digit in digits])
            options.append(sequence([text(f"\\u00{first}"), last]))
    return either(options)
