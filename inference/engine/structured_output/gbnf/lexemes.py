"""Converts a grammar over characters to Lark, with lexemes as large as possible.

llguidance's lexer is greedy: of the lexemes that may come it reads the one that matches
the longest text, and never tries a shorter match. GBNF has no such rule: in ``number
"\\n"``, where a number may end with white space, the lexer would treat the line break
as part of the number and wait for another. One lexeme for each character is always
right, but slow. So lexemes are made as large as possible, and those that could consume
the beginning of what follows are split again, until none can.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inference.engine.structured_output.gbnf.expressions import (
    Alt,
    Chars,
    Derivatives,
    Expression,
    Ref,
    Repeat,
    Rules,
    Seq,
    overlap,
)
from inference.engine.structured_output.gbnf.follow_sets import (
    Alternation,
    Concatenation,
    FollowSets,
    Lexeme,
    Node,
    Repetition,
    names_of,
)
from inference.engine.structured_output.gbnf.parser import GrammarSyntaxError
from inference.engine.structured_output.gbnf.rules import (
    as_loop,
    ending_rules,
    recursive_rules,
    refs_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Limits the search for lexemes that could consume too much: about a second.
_MAX_STEPS = 20_000


def to_lark(rules: Rules) -> str:
    """Return the grammar of ``root`` as Lark. Raises GrammarSyntaxError."""
    try:
        return _Lexer(rules).lark()
    except RecursionError:
        raise GrammarSyntaxError("the rules are nested too deep") from None


class _Lexer:
    def __init__(self, rules: Rules) -> None:
        rules = ending_rules(rules)
        rules = {name: as_loop(name, body) for name, body in rules.items()}
        self._rules = rules
        self._recursive = recursive_rules(rules)
        self._derivatives = Derivatives(rules)
        #: Regular expressions that must not be lexemes.
        self._apart: set[Expression] = set()
        self._steps = 0
        self._harmless: set[tuple[Expression, Expression, frozenset[Chars]]] = set()

    def lark(self) -> str:
        """Return the grammar in Lark, once no lexeme consumes too much."""
        while True:
            follows = FollowSets(self._derivatives, self._structure())
            greedy = self._greedy(follows.after_lexeme)
            if greedy is None:
                return self._write(follows)
            self._apart.add(greedy)

    def _structure(self) -> dict[str, Node]:
        """Return the rules above the lexemes, from ``root`` on."""
        structure: dict[str, Node] = {}
        pending = ["root"]
        while pending:
            name = pending.pop()
            if name not in structure:
                is_lexeme = name not in self._recursive and Ref(name) not in self._apart
                body = Ref(name) if is_lexeme else self._rules[name]
                structure[name] = self._node(body)
                pending.extend(names_of(structure[name]))
        return structure

    def _node(self, expression: Expression) -> Node:
        if self._is_lexeme(expression):
            return Lexeme(expression)
        match expression:
            case Ref():
                return expression
            case Seq(items):
                return Concatenation(tuple(self._grouped(items)))
            case Alt(options):
                lexemes = tuple(o for o in options if self._is_lexeme(o))
                one = Alt(lexemes)
                others = [self._node(o) for o in options if o not in lexemes]
                if len(lexemes) < 2 or one in self._apart:
                    return Alternation((*map(Lexeme, lexemes), *others))
                return Alternation((Lexeme(one), *others))
            case Repeat(item, low, high):
                return Repetition(self._node(item), low, high)
        raise AssertionError("a set of characters is always a lexeme")

    def _grouped(self, items: tuple[Expression, ...]) -> Iterator[Node]:
        """Yield the parts of a sequence, with adjacent regular ones as one lexeme."""
        group: list[Expression] = []

        def grouped() -> Iterator[Node]:
            one = Seq(tuple(group))
            if len(group) == 1 or one in self._apart:
                yield from map(self._node, group)
            elif group:
                yield Lexeme(one)
            group.clear()

        for item in items:
            if self._is_lexeme(item) and Seq(items) not in self._apart:
                group.append(item)
            else:
                yield from grouped()
                yield self._node(item)
        yield from grouped()

    def _is_lexeme(self, expression: Expression) -> bool:
        if expression in self._apart:
            return False
        match expression:
            case Chars():
                return True
            case Ref(name):
                return name not in self._recursive
            case Seq(items) | Alt(items):
                return all(not self._is_recursive(item) for item in items)
            case Repeat(item, _, _):
                return not self._is_recursive(item)

    def _is_recursive(self, expression: Expression) -> bool:
        return not self._recursive.isdisjoint(refs_of(expression))

    # Lexemes that take too much ----------------------------------------------

    def _greedy(self, after: dict[Expression, frozenset[Chars]]) -> Expression | None:
        """Return a lexeme that may continue where another ends before a text."""
        for ending, follow in after.items():
            if not follow:
                continue
            for going_on in after:
                pair = (ending, going_on, follow)
                if pair not in self._harmless and self._swallows(*pair):
                    return going_on
                self._harmless.add(pair)
        return None

    def _swallows(
        self, ending: Expression, going_on: Expression, follow: frozenset[Chars]
    ) -> bool:
        """Whether ``ending``, then a character of ``follow``, begins ``going_on``."""
        derivatives = self._derivatives
        seen: set[tuple[Expression, Expression]] = set()
        pending = [(ending, going_on)]
        while pending:
            pair = pending.pop()
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise GrammarSyntaxError("the grammar is too large or too ambiguous")
            firsts = derivatives.first(pair[0]), derivatives.first(pair[1])
            if pair in seen or not overlap(*firsts):
                continue
            seen.add(pair)
            for char in _representatives(*firsts):
                ended = derivatives.after(pair[0], char)
                goes_on = derivatives.after(pair[1], char)
                if derivatives.is_nullable(ended) and overlap(
                    derivatives.first(goes_on), follow
                ):
                    return True
                pending.append((ended, goes_on))
        return False

    # Lark ---------------------------------------------------------------------

    def _write(self, follows: FollowSets) -> str:
        lexemes = {lexeme: f"L{n}" for n, lexeme in enumerate(follows.after_lexeme)}
        rules = {name: f"r{n}" for n, name in enumerate(follows.structure)}
        terminals: dict[str, str] = {}

        def terminal(name: str) -> str:
            if name not in terminals:
                terminals[name] = f"T{len(terminals)}"
                pending.append(name)
            return terminals[name]

        pending: list[str] = []
        lines = [f"start: {rules['root']}"]
        for name, node in follows.structure.items():
            lines.append(f"{rules[name]}: {_rule_text(node, rules, lexemes)}")
        for lexeme, short in lexemes.items():
            lines.append(f"{short}: {_terminal_text(lexeme, terminal)}")
        while pending:
            name = pending.pop()
            body = _terminal_text(self._rules[name], terminal)
            lines.append(f"{terminals[name]}: {body}")
        return "\n".join(lines) + "\n"


def _representatives(*firsts: frozenset[Chars]) -> set[int]:
    """Return characters such that every other one behaves like one of them."""
    edges = [r for first in firsts for each in first for r in each.ranges]
    return {low for low, _ in edges} | {high + 1 for _, high in edges}


def _rule_text(
    node: Node, rules: dict[str, str], lexemes: dict[Expression, str]
) -> str:
    def inner(node: Node) -> str:
        return _rule_text(node, rules, lexemes)

    match node:
        case Ref(name):
            return rules[name]
        case Lexeme():
            return lexemes[node.expression]
        case Concatenation():
            return " ".join(map(inner, node.items)) or '""'
        case Alternation():
            return f"({' | '.join(map(inner, node.options))})"
        case Repetition():
            item = inner(node.item)
            # Lark limits nesting, so parentheses are written only where needed.
            is_whole = isinstance(node.item, Ref | Lexeme | Alternation)
            return (item if is_whole else f"({item})") + _counts(node.low, node.high)


def _terminal_text(expression: Expression, terminal: Callable[[str], str]) -> str:
    def inner(expression: Expression) -> str:
        return _terminal_text(expression, terminal)

    match expression:
        case Chars(((low, high),)) if low == high and chr(low).isprintable():
            return json.dumps(chr(low), ensure_ascii=False)
        case Chars(ranges):
            return f"/[{''.join(f'{_hex(low)}-{_hex(high)}' for low, high in ranges)}]/"
        case Ref(name):
            return terminal(name)
        case Seq(items):
            return " ".join(map(inner, items)) or '""'
        case Alt(options):
            return f"({' | '.join(map(inner, options))})"
        case Repeat(item, low, high):
            is_whole = isinstance(item, Ref | Chars | Alt)
            once = inner(item) if is_whole else f"({inner(item)})"
            return once + _counts(low, high)


def _counts(low: int, high: int | None) -> str:
    return f"{{{low},{'' if high is None else high}}}"


def _hex(char: int) -> str:
    return f"\\u{{{char:x}}}"
