"""Rewrites patterns that begin with look-ahead as patterns that must all match.

``^(?=A)(?!B)C$`` matches what ``^A``, the complement of ``^B`` and ``^C$`` match. The
complement is that of an automaton, made by Brzozowski's derivatives (Derivatives of
Regular Expressions, JACM 1964) and written as a pattern again by taking away one state
after the other. Both have small bounds: what is larger stays unsupported.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from inference.engine.structured_output.json_schema.expressions import (
    ANYTHING,
    Expression,
    TooComplex,
    boundaries,
    derivative,
    is_nullable,
    parse,
    sequence,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LOOKAHEADS = 8
_MAX_STATES = 32
_MAX_CHARS = 4_000
_OPENING = re.compile(r"\(\?([=!])")
_PARTS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|[()|]", re.DOTALL)


def without_lookahead(pattern: str) -> list[str] | None:
    """Return patterns that all match where this one does, None if there are none."""
    rest = pattern.removeprefix("^")
    found = []
    while opening := _OPENING.match(rest):
        end = _end_of_group(rest)
        found.append((opening[1], rest[opening.end() : end]))
        rest = rest[end + 1 :]
    is_anchored = pattern.startswith("^") or rest.startswith("^")
    if not 0 < len(found) <= _MAX_LOOKAHEADS:
        return None
    if not is_anchored or len(_alternatives(rest)) > 1:
        return None
    patterns: list[str] = []
    try:
        for sign, body in found:
            patterns += _required(body) if sign == "=" else _forbidden(body)
    except TooComplex:
        return None
    return [*patterns, f"^{rest.removeprefix('^')}"]


def _required(body: str) -> Iterator[str]:
    """Yield a pattern that matches where what follows matches the body."""
    if len(_alternatives(body)) > 1:
        if "$" in body or "^" in body:
            raise TooComplex
        body = f"(?:{body})"
    yield f"^{body.removeprefix('^')}"


def _forbidden(body: str) -> Iterator[str]:
    """Yield patterns that match where what follows does not match the body."""
    for option in _alternatives(body):
        text = option.removeprefix("^")
        is_whole = text.endswith("$") and not text.endswith("\\$")
        expression = parse(text.removesuffix("$") if is_whole else text)
        if not is_whole:
            expression = sequence(expression, ANYTHING)
        yield f"^(?:{_complement(expression)})$"


def _complement(expression: Expression) -> str:
    """Return a pattern of the texts that the expression does not match as a whole."""
    cuts = boundaries(expression)
    states = {expression: 0}
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    pending = [expression]
    while pending:
        state = pending.pop()
        for low, high in pairwise(cuts):
            target = derivative(state, low)
            if target not in states:
                if len(states) == _MAX_STATES:
                    raise TooComplex
                states[target] = len(states)
                pending.append(target)
            edge = edges.setdefault((states[state], states[target]), [])
            edge.append((low, high - 1))
    end = -1
    labels = {edge: _characters(ranges) for edge, ranges in edges.items()}
    for state, number in states.items():
        if not is_nullable(state):
            labels[number, end] = ""
    labels[-2, 0] = ""
    for number in reversed(range(len(states))):
        _take_away(labels, number)
    if (-2, end) not in labels:
        raise TooComplex
    return labels[-2, end]


def _take_away(labels: dict[tuple[int, int], str], state: int) -> None:
    """Take a state out of an automaton whose edges are patterns."""
    loop = labels.pop((state, state), None)
    again = f"(?:{loop})*" if loop else ""
    before = [source for source, target in labels if target == state]
    after = [target for source, target in labels if source == state]
    for source in before:
        for target in after:
            way = f"{labels[source, state]}{again}{labels[state, target]}"
            other = labels.get((source, target))
            label = way if other is None else f"(?:{other}|{way})"
            if len(label) > _MAX_CHARS:
                raise TooComplex
            labels[source, target] = label
    for edge in [edge for edge in labels if state in edge]:
        del labels[edge]


def _characters(ranges: list[tuple[int, int]]) -> str:
    """Return a class of characters; ranges that touch are one."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and joined[-1][1] == low - 1:
            joined[-1] = joined[-1][0], high
        else:
            joined.append((low, high))
    written = (f"\\u{{{low:x}}}-\\u{{{high:x}}}" for low, high in joined)
    return f"[{''.join(written)}]"


def _end_of_group(text: str) -> int:
    """Return where the group ends that the text begins with. Raises TooComplex."""
    depth = 0
    for found in _PARTS.finditer(text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return len(text)


def _alternatives(text: str) -> list[str]:
    """Return the options of a pattern."""
    options, start, depth = [], 0, 0
    for found in _PARTS.finditer(text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] == "|" and depth == 0:
            options.append(text[start : found.start()])
            start = found.end()
    return [*options, text[start:]]
