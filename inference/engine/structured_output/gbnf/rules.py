"""Simplifies the rules of a grammar: removes dead ends, makes loops repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.structured_output.gbnf.expressions import (
    EMPTY,
    NOTHING,
    Alt,
    Expression,
    Ref,
    Repeat,
    Rules,
    Seq,
    either,
    repeat,
    sequence,
)
from inference.engine.structured_output.gbnf.parser import GrammarSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator


def ending_rules(rules: Rules) -> Rules:
    """Return the rules without alternatives that never end.

    Raises GrammarSyntaxError if no alternative of ``root`` ends.
    """
    ending: set[str] = set()
    before = -1
    while before != (before := len(ending)):
        ending |= {name for name in rules if _only(rules[name], ending) != NOTHING}
    if "root" not in ending:
        raise GrammarSyntaxError("the rule 'root' matches no text that ends")
    return {name: _only(rules[name], ending) for name in rules if name in ending}


def _only(expression: Expression, names: set[str]) -> Expression:
    """Return the expression without parts that need rules other than these."""
    match expression:
        case Ref(name):
            return expression if name in names else NOTHING
        case Seq(items):
            return sequence([_only(item, names) for item in items])
        case Alt(options):
            return either([_only(option, names) for option in options])
        case Repeat(item, low, high):
            once = _only(item, names)
            if once == NOTHING:
                return EMPTY if low == 0 else NOTHING
            return repeat(once, low, high)
        case _:
            return expression


def recursive_rules(rules: Rules) -> set[str]:
    """Return the rules that can reach themselves, or a rule that can."""
    refs = {name: set(refs_of(body)) for name, body in rules.items()}
    reached: dict[str, set[str]] = {}
    for name in rules:
        known = reached[name] = set()
        pending = list(refs[name])
        while pending:
            other = pending.pop()
            if other not in known:
                known.add(other)
                pending.extend(refs[other])
    loops = {name for name, known in reached.items() if name in known}
    return {name for name, known in reached.items() if known & loops}


def as_loop(name: str, body: Expression) -> Expression:
    """Return a rule's body without right recursion: X = a X | b becomes a* b.

    Right recursion is the usual way to write white space: ``ws ::= (" " ws)?``.
    """
    options = _options(body)
    again = Ref(name)
    loops = [
        sequence(list(option.items[:-1]))
        for option in options
        if isinstance(option, Seq) and option.items and option.items[-1] == again
    ]
    others = [option for option in options if _last(option) != again]
    if not loops or any(name in refs_of(each) for each in [*loops, *others]):
        return body
    return sequence([repeat(either(loops), 0, None), either(others)])


def _options(expression: Expression) -> tuple[Expression, ...]:
    match expression:
        case Alt(options):
            return tuple(one for option in options for one in _options(option))
        case Repeat(item, 0, 1):
            return (*_options(item), EMPTY)
        case _:
            return (expression,)


def _last(expression: Expression) -> Expression:
    if isinstance(expression, Seq) and expression.items:
        return expression.items[-1]
    return expression


def refs_of(expression: Expression) -> Iterator[str]:
    """Yield the names of the rules in an expression."""
    match expression:
        case Ref(name):
            yield name
        case Seq(items) | Alt(items):
            for item in items:
                yield from refs_of(item)
        case Repeat(item, _, _):
            yield from refs_of(item)
