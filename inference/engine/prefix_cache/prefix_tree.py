"""A radix tree over the contents of the KV cache: finds slots by their tokens."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence


@dataclass(slots=True, eq=False)
class _Node:
    """An edge of the tree: its tokens, and the slots whose tokens run through it."""

    tokens: Sequence[int]
    parent: _Node | None
    slots: set[int] = field(default_factory=set)
    children: dict[int, _Node] = field(default_factory=dict)


class PrefixTree:
    """Finds the slots that share a prefix with a list of tokens.

    There is one tree per scope: prefixes of other scopes are not found.
    """

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Node] = {}
        #: The last node of each slot's path, and the scope of its tree.
        self._ends: dict[int, tuple[_Node, Hashable]] = {}

    def put(self, slot: int, tokens: Sequence[int], scope: Hashable) -> None:
        """Record that ``slot`` holds ``tokens``, instead of its earlier tokens."""
        self.remove(slot)
        if not tokens:
            return
        node = self._roots.setdefault(scope, _Node((), None))
        at = 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                child = _Node(tokens[at:], node)
                node.children[tokens[at]] = child
            shared = _common(child.tokens, tokens, at)
            if shared < len(child.tokens):
                child = _split(child, shared)
            child.slots.add(slot)
            node = child
            at += shared
        self._ends[slot] = (node, scope)

    def remove(self, slot: int) -> None:
        """Forget what a slot holds. Idempotent."""
        node, scope = self._ends.pop(slot, (None, None))
        while node is not None and node.parent is not None:
            node.slots.discard(slot)
            if not node.slots:
                del node.parent.children[node.tokens[0]]
            node = node.parent
        if node is not None and not node.children:
            del self._roots[scope]

    def match(
        self, tokens: Sequence[int], scope: Hashable
    ) -> Iterator[tuple[int, frozenset[int]]]:
        """Yield prefixes of ``tokens``, from short to long: their length and slots.

        A slot that holds more comes again with every longer prefix that it holds.
        """
        node = self._roots.get(scope)
        at = 0
        while node is not None and at < len(tokens):
            node = node.children.get(tokens[at])
            if node is None:
                return
            shared = _common(node.tokens, tokens, at)
            at += shared
            yield at, frozenset(node.slots)
            if shared < len(node.tokens):
                return

    def slots(self) -> set[int]:
        """Return the slots that are in the tree."""
        return set(self._ends)


def _split(node: _Node, at: int) -> _Node:
    """Split an edge in two; return the upper part."""
    parent = node.parent
    assert parent is not None  # noqa: S101 - roots have no tokens to split
    upper = _Node(node.tokens[:at], parent, set(node.slots))
    parent.children[upper.tokens[0]] = upper
    node.tokens = node.tokens[at:]
    node.parent = upper
    upper.children[node.tokens[0]] = node
    return upper


def _common(edge: Sequence[int], tokens: Sequence[int], start: int) -> int:
    """Return how many tokens of ``edge`` are also in ``tokens`` from ``start`` on."""
    limit = min(len(edge), len(tokens) - start)
    if edge[:limit] == tokens[start : start + limit]:
        return limit
    # Slices compare in C, so bisection is faster than a loop over long prompts.
    return bisect_left(
        range(limit),
        1,
        key=lambda n: int(edge[: n + 1] != tokens[start : start + n + 1]),
    )
