from __future__ import annotations

from inference.transport.affinity.choice import ReplicaLoad, choose_replica
from inference.transport.affinity.known_prefixes import KnownPrefixes


def loads(slots: int = 32, **requests: int) -> dict[str, ReplicaLoad]:
    return {name: ReplicaLoad(count, slots) for name, count in requests.items()}


def test_the_replica_with_the_longest_prefix_is_chosen() -> None:
    shares = {"a": 0.4, "b": 0.9}
    assert choose_replica(shares, loads(a=0, b=3, c=0), bound=8) == "b"


def test_a_replica_that_is_busier_by_more_than_the_bound_is_not() -> None:
    assert choose_replica({"a": 1.0}, loads(a=8, b=0), bound=8) == "a"
    assert choose_replica({"a": 1.0}, loads(a=9, b=0), bound=8) == ""
    assert choose_replica({"a": 1.0}, loads(a=19, b=11), bound=8) == "a"


def test_a_part_of_the_prompt_is_worth_that_part_of_the_bound() -> None:
    """What all chats begin with does not gather them on one replica."""
    assert choose_replica({"a": 0.1}, loads(a=1, b=0), bound=8) == ""
    assert choose_replica({"a": 0.1}, loads(a=0, b=0), bound=8) == "a"
    assert choose_replica({"a": 0.5}, loads(a=4, b=0), bound=8) == "a"
    assert choose_replica({"a": 0.5}, loads(a=5, b=0), bound=8) == ""


def test_the_next_best_is_chosen_if_the_best_is_too_busy() -> None:
    assert choose_replica({"a": 1.0, "b": 0.5}, loads(a=20, b=1, c=0), bound=8) == "b"


def test_of_two_that_have_as_much_the_less_busy_one_is_chosen() -> None:
    assert choose_replica({"a": 0.5, "b": 0.5}, loads(a=2, b=1), bound=8) == "b"


def test_nobody_waits_for_a_slot_while_another_replica_has_one() -> None:
    assert choose_replica({"a": 1.0}, loads(4, a=4, b=3), bound=8) == ""
    assert choose_replica({"a": 1.0}, loads(4, a=5, b=4), bound=8) == "a"


def test_without_any_prefix_none_is_chosen() -> None:
    assert choose_replica({}, loads(a=0, b=0), bound=8) == ""


def test_the_longest_beginning_that_a_replica_has_counts() -> None:
    known = KnownPrefixes()
    known.put("a", [1, 2, 3])
    known.put("b", [1])
    prompt = ((1, 0.25), (2, 0.5), (4, 0.75))
    assert known.shares(prompt, {"a", "b", "c"}) == {"a": 0.5, "b": 0.25}
    assert known.shares(prompt, {"b"}) == {"b": 0.25}


def test_the_oldest_beginnings_are_forgotten_first() -> None:
    known = KnownPrefixes(max_beginnings=3)
    known.put("a", [1, 2])
    known.put("a", [3, 1])
    known.put("a", [4])
    for number, is_known in ((1, True), (2, False), (3, True), (4, True)):
        assert bool(known.shares(((number, 1.0),), {"a"})) == is_known
