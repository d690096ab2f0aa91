"""What a grammar over characters matches, found the slow and certain way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLTokenizer

from inference.engine.structured_output.gbnf.expressions import (
    Alt,
    Chars,
    Expression,
    Ref,
    Repeat,
    Rules,
    Seq,
)

if TYPE_CHECKING:
    from inference.engine.structured_output.grammar import Grammar

BYTES = LLTokenizer("byte")


def matches(rules: Rules, text: str) -> bool:
    """Whether ``root`` matches the text: by the meaning of each kind of expression.

    ``ends[rule, start]`` grows until nothing new is found, so any recursion will do.
    """
    length = len(text)
    everywhere = [(rule, start) for rule in rules for start in range(length + 1)]
    ends: dict[tuple[str, int], set[int]] = {place: set() for place in everywhere}

    def ends_of(expression: Expression, start: int) -> set[int]:
        match expression:
            case Chars(ranges):
                is_there = start < length and any(
                    low <= ord(text[start]) <= high for low, high in ranges
                )
                return {start + 1} if is_there else set()
            case Ref(name):
                return ends[name, start]
            case Alt(options):
                return {end for option in options for end in ends_of(option, start)}
            case Seq(items):
                found = {start}
                for item in items:
                    found = {end for at in found for end in ends_of(item, at)}
                return found
            case Repeat(item, low, high):
                found, reached = {start}, {start} if low == 0 else set()
                for count in range(1, (low + length if high is None else high) + 1):
                    found = {end for at in found for end in ends_of(item, at)}
                    reached |= found if count >= low else set()
                return reached

    is_growing = True
    while is_growing:
        is_growing = False
        for (rule, start), known in ends.items():
            more = ends_of(rules[rule], start) - known
            known |= more
            is_growing = is_growing or bool(more)
    return length in ends["root", 0]


def allows(grammar: Grammar | str, text: str) -> bool:
    """Whether llguidance accepts the text, byte by byte, and then the end."""
    source = grammar if isinstance(grammar, str) else grammar.source
    matcher = LLMatcher(BYTES, source, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()
