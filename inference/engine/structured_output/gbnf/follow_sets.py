"""Computes the FOLLOW set of each lexeme of a grammar: what may come after it.

Aho, Lam, Sethi, Ullman: Compilers (2nd edition, 2006), section 4.4.2, with sets of
characters instead of terminals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.structured_output.gbnf.expressions import (
    Chars,
    Derivatives,
    Expression,
    Ref,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Lexeme:
    """A regular expression that the lexer reads as one."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression


class Concatenation:
    """A sequence of nodes."""

    def __init__(self, items: tuple[Node, ...]) -> None:
        self.items = items


class Alternation:
    """A choice of nodes."""

    def __init__(self, options: tuple[Node, ...]) -> None:
        self.options = options


class Repetition:
    """A repetition of a node."""

    def __init__(self, item: Node, low: int, high: int | None) -> None:
        self.item = item
        self.low = low
        self.high = high


Node = Ref | Lexeme | Concatenation | Alternation | Repetition


class FollowSets:
    """The FIRST and FOLLOW sets of a grammar; ``after_lexeme`` are those of lexemes."""

    def __init__(self, derivatives: Derivatives, structure: dict[str, Node]) -> None:
        self._derivatives = derivatives
        self.structure = structure
        self._nullable: dict[str, bool] = dict.fromkeys(structure, False)
        nothing: frozenset[Chars] = frozenset()
        self._first = dict.fromkeys(structure, nothing)
        self._after_rule = dict.fromkeys(structure, nothing)
        self.after_lexeme: dict[Expression, frozenset[Chars]] = {}
        self._until_stable(self._update_first)
        self._until_stable(self._update_follow)

    def _until_stable(self, update: Callable[[], None]) -> None:
        before = None
        while before != (before := self._known()):
            update()

    def _known(self) -> object:
        return (
            dict(self._nullable),
            dict(self._first),
            dict(self._after_rule),
            dict(self.after_lexeme),
        )

    def _update_first(self) -> None:
        for name, node in self.structure.items():
            self._nullable[name] = self._is_nullable(node)
            self._first[name] = self._firsts(node)

    def _update_follow(self) -> None:
        for name, node in self.structure.items():
            self._visit(node, self._after_rule[name])

    def _visit(self, node: Node, after: frozenset[Chars]) -> None:
        match node:
            case Ref(name):
                self._after_rule[name] |= after
            case Lexeme():
                known = self.after_lexeme.get(node.expression, frozenset())
                self.after_lexeme[node.expression] = known | after
            case Alternation():
                for option in node.options:
                    self._visit(option, after)
            case Repetition():
                self._visit(node.item, after | self._firsts(node.item))
            case Concatenation():
                for item in reversed(node.items):
                    self._visit(item, after)
                    rest = after if self._is_nullable(item) else frozenset()
                    after = self._firsts(item) | rest

    def _is_nullable(self, node: Node) -> bool:
        match node:
            case Ref(name):
                return self._nullable[name]
            case Lexeme():
                return self._derivatives.is_nullable(node.expression)
            case Alternation():
                return any(map(self._is_nullable, node.options))
            case Repetition():
                return node.low == 0 or self._is_nullable(node.item)
            case Concatenation():
                return all(map(self._is_nullable, node.items))

    def _firsts(self, node: Node) -> frozenset[Chars]:
        match node:
            case Ref(name):
                return self._first[name]
            case Lexeme():
                return self._derivatives.first(node.expression)
            case Alternation():
                return frozenset().union(*map(self._firsts, node.options))
            case Repetition():
                return self._firsts(node.item)
            case Concatenation():
                found: frozenset[Chars] = frozenset()
                for item in node.items:
                    found |= self._firsts(item)
                    if not self._is_nullable(item):
                        break
                return found


def names_of(node: Node) -> Iterator[str]:
    """Yield the names of the rules in a node."""
    match node:
        case Ref(name):
            yield name
        case Concatenation(items=nodes) | Alternation(options=nodes):
            for each in nodes:
                yield from names_of(each)
        case Repetition():
            yield from names_of(node.item)
