from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.prefix_cache.prefix_tree import PrefixTree


def matches(tree: PrefixTree, tokens: list[int], owner: str = "") -> dict[int, int]:
    """Return how long a prefix each slot shares."""
    found: dict[int, int] = {}
    for depth, slots in tree.match(tokens, owner):
        found.update(dict.fromkeys(slots, depth))
    return found


def test_slots_are_found_by_what_they_share() -> None:
    tree = PrefixTree()
    tree.put(0, [1, 2, 3, 4], "")
    tree.put(1, [1, 2, 5], "")
    tree.put(2, [9], "")
    assert matches(tree, [1, 2, 3, 7]) == {0: 3, 1: 2}
    assert matches(tree, [1, 2, 5, 6]) == {0: 2, 1: 3}
    assert matches(tree, [7]) == {}


def test_nobody_finds_what_another_owner_has() -> None:
    tree = PrefixTree()
    tree.put(0, [1, 2, 3], "a")
    assert matches(tree, [1, 2, 3], "b") == {}
    assert matches(tree, [1, 2, 3], "a") == {0: 3}


def test_a_slot_holds_what_was_put_last() -> None:
    tree = PrefixTree()
    tree.put(0, [1, 2, 3], "a")
    tree.put(0, [4, 5], "b")
    assert matches(tree, [1, 2, 3], "a") == {}
    assert matches(tree, [4, 5, 6], "b") == {0: 2}
    tree.remove(0)
    tree.remove(0)
    assert tree.slots() == set()


TOKENS = st.lists(st.integers(0, 2), max_size=12)


@given(
    contents=st.lists(st.tuples(st.integers(0, 5), TOKENS, st.sampled_from("ab"))),
    wanted=TOKENS,
    owner=st.sampled_from("ab"),
)
def test_it_finds_what_comparing_every_slot_finds(
    contents: list[tuple[int, list[int], str]], wanted: list[int], owner: str
) -> None:
    tree = PrefixTree()
    held: dict[int, tuple[list[int], str]] = {}
    for slot, tokens, held_by in contents:
        tree.put(slot, tokens, held_by)
        held[slot] = tokens, held_by
    expected = {}
    for slot, (tokens, held_by) in held.items():
        shared = 0
        while shared < min(len(tokens), len(wanted)):
            if tokens[shared] != wanted[shared]:
                break
            shared += 1
        if shared and held_by == owner:
            expected[slot] = shared
    assert matches(tree, wanted, owner) == expected
