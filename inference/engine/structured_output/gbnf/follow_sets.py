"""A grammar above its lexemes, and what may come after each of them."""

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
    """A regular expression that is read as one."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression


class Sequence:
    """Nodes, one after the other."""

    def __init__(self, items: tuple[Node, ...]) -> None:
        self.items = items


class Choice:
    """One of these nodes."""

    def __init__(self, options: tuple[Node, ...]) -> None:
        self.options = options


class Repetition:
    """A node, several times."""

    def __init__(self, item: Node, low: int, high: int | None) -> None:
        self.item = item
        self.low = low
        self.high = high


Node = Ref | Lexeme | Sequence | Choice | Repetition


class Follows:
    """Which characters may come after each lexeme, somewhere in the grammar."""

    def __init__(self, derivatives: Derivatives, structure: dict[str, Node]) -> None:
        self._derivatives = derivatives
        self.structure = structure
        self._nullable: dict[str, bool] = dict.fromkeys(structure, False)
        nothing: frozenset[Chars] = frozenset()
        self._first = dict.fromkeys(structure, nothing)
        self._after_rule = dict.fromkeys(structure, nothing)
        self.after_lexeme: dict[Expression, frozenset[Chars]] = {}
        self._until_stable(self._learn_beginnings)
        self._until_stable(self._learn_follows)

    def _until_stable(self, learn: Callable[[], None]) -> None:
        before = None
        while before != (before := self._known()):
            learn()

    def _known(self) -> object:
        return (
            dict(self._nullable),
            dict(self._first),
            dict(self._after_rule),
            dict(self.after_lexeme),
        )

    def _learn_beginnings(self) -> None:
        for name, node in self.structure.items():
            self._nullable[name] = self._is_nullable(node)
            self._first[name] = self._firsts(node)

    def _learn_follows(self) -> None:
        for name, node in self.structure.items():
            self._visit(node, self._after_rule[name])

    def _visit(self, node: Node, after: frozenset[Chars]) -> None:
        match node:
            case Ref(name):
                self._after_rule[name] |= after
            case Lexeme():
                known = self.after_lexeme.get(node.expression, frozenset())
                self.after_lexeme[node.expression] = known | after
            case Choice():
                for option in node.options:
                    self._visit(option, after)
            case Repetition():
                self._visit(node.item, after | self._firsts(node.item))
            case Sequence():
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
            case Choice():
                return any(map(self._is_nullable, node.options))
            case Repetition():
                return node.low == 0 or self._is_nullable(node.item)
            case Sequence():
                return all(map(self._is_nullable, node.items))

    def _firsts(self, node: Node) -> frozenset[Chars]:
        match node:
            case Ref(name):
                return self._first[name]
            case Lexeme():
                return self._derivatives.first(node.expression)
            case Choice():
                return frozenset().union(*map(self._firsts, node.options))
            case Repetition():
                return self._firsts(node.item)
            case Sequence():
                found: frozenset[Chars] = frozenset()
                for item in node.items:
                    found |= self._firsts(item)
                    if not self._is_nullable(item):
                        break
                return found


def names_of(node: Node) -> Iterator[str]:
    """Yield the rules that a node names."""
    match node:
        case Ref(name):
            yield name
        case Sequence(items=nodes) | Choice(options=nodes):
            for each in nodes:
                yield from names_of(each)
        case Repetition():
            yield from names_of(node.item)
