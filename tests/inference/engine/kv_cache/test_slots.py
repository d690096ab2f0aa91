from __future__ import annotations

import pytest

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.operations import Clear, Evict, Fork, Move, Reuse
from inference.engine.kv_cache.slots import PrefixMatch, Slots
from inference.engine.sequence import Sequence, SequenceStatus
from tests.inference.engine.sequences import sequence


def make_slots(number: int = 4, **options: bool) -> Slots:
    return Slots(
        CacheLayout(n_ctx=512, n_seq_max=number, n_cells=512 * number), **options
    )


def run(slots: Slots, tokens: list[int], owner: str = "") -> Sequence:
    """Give a sequence a slot and compute all of it."""
    new = sequence(tokens, owner=owner)
    slots.take(new, slots.find(new))
    new.status = SequenceStatus.RUNNING
    slots.grow(new, new.num_uncomputed)
    return new


A = list(range(100, 200))
B = list(range(300, 400))


def test_sequences_get_neighbouring_slots_from_the_bottom() -> None:
    slots = make_slots()
    assert [run(slots, [n]).slot for n in range(3)] == [0, 1, 2]


def test_the_next_turn_of_a_conversation_takes_its_slot_over() -> None:
    slots = make_slots()
    turn = run(slots, A)
    slots.retire(turn)
    following = sequence([*A, 7, 8])
    match = slots.find(following)
    assert match == PrefixMatch(0, 100)
    assert slots.take(following, match) == [Reuse(following, 0, 100)]
    assert following.num_uncomputed == 2


def test_a_prompt_that_is_there_whole_still_computes_its_last_token() -> None:
    slots = make_slots()
    slots.retire(run(slots, A))
    assert slots.find(sequence(A)).length == 99


def test_a_prefix_of_a_running_sequence_is_copied() -> None:
    slots = make_slots()
    runner = run(slots, A)
    other = sequence([*A[:60], 1])
    (op,) = slots.take(other, slots.find(other))
    assert op == Fork(other, 0, 1, 60)
    assert (runner.slot, other.slot) == (0, 1)


def test_a_long_conversation_is_not_lost_to_one_that_shares_its_beginning() -> None:
    slots = make_slots()
    slots.retire(run(slots, A))
    other = sequence([*A[:40], 1])
    assert slots.take(other, slots.find(other)) == [Fork(other, 0, 1, 40)]
    assert slots.find(sequence([*A, 1])) == PrefixMatch(0, 100)


def test_a_few_shared_tokens_are_not_worth_a_copy() -> None:
    slots = make_slots()
    run(slots, A)
    other = sequence([*A[:5], 1])
    assert slots.take(other, slots.find(other)) == []
    assert other.num_computed == 0


def test_another_owners_prefix_is_not_found_unless_that_is_allowed() -> None:
    for shares, expected in ((False, 0), (True, 100)):
        slots = make_slots(shares_prefixes=shares)
        slots.retire(run(slots, A, "a"))
        assert slots.find(sequence([*A, 1], owner="b")).length == expected


def test_a_model_that_cannot_be_cut_reuses_whole_sequences_only() -> None:
    slots = make_slots(can_cut=False)
    slots.retire(run(slots, A))
    assert slots.find(sequence([*A, 1])) == PrefixMatch(0, 100)
    assert slots.find(sequence([*A[:50], 1])) == PrefixMatch()


def test_the_least_recently_used_prefix_goes_first() -> None:
    slots = make_slots(2)
    for tokens in (A, B):
        slots.retire(run(slots, tokens))
    slots.retire(run(slots, [*A, 1]))
    new = sequence([5, 6])
    assert slots.take(new, slots.find(new)) == [Evict(1, 100)]
    assert slots.find(sequence([*A, 1, 2])).length == 101


def test_a_hole_among_running_sequences_is_filled_and_its_prefix_is_saved() -> None:
    slots = make_slots(5)
    runners = [run(slots, [n]) for n in range(3)]
    slots.retire(run(slots, A))
    runners.append(run(slots, [9] * 3))
    assert runners[-1].slot == 4 or runners[-1].slot == 3
    slots.retire(runners[1])
    new = sequence([8, 8])
    ops = slots.take(new, PrefixMatch())
    assert new.slot == 1
    assert any(isinstance(op, Move | Evict) for op in ops)
    slots.check_integrity()


def test_strays_are_brought_beside_the_others() -> None:
    slots = make_slots(8)
    runners = [run(slots, [n] * 40) for n in range(6)]
    for gone in (1, 2, 4):
        slots.drop(runners[gone])
    active = [runners[0], runners[3], runners[5]]
    ops = slots.compact(active)
    while more := slots.compact(active):
        ops += more
    taken = sorted(runner.slot or 0 for runner in active)
    assert taken == list(range(taken[0], taken[0] + 3))
    assert all(isinstance(op, Move) for op in ops)
    slots.check_integrity()


def test_a_unified_cache_needs_no_neighbours() -> None:
    layout = CacheLayout(n_ctx=512, n_seq_max=8, n_cells=512, is_split=False)
    slots = Slots(layout)
    runners = [run(slots, [n] * 4) for n in range(3)]
    slots.drop(runners[1])
    assert slots.compact([runners[0], runners[2]]) == []


def test_reclaiming_empties_as_many_slots_as_it_takes() -> None:
    slots = make_slots(4)
    for tokens in (A, B):
        slots.retire(run(slots, tokens))
    free = slots.cells.free
    assert slots.reclaim(free + 50) == [Evict(0, 100)]
    assert slots.reclaim(free + 10_000) == [Evict(1, 100)]


def test_a_dropped_sequence_leaves_nothing() -> None:
    slots = make_slots()
    runner = run(slots, A)
    assert slots.drop(runner) == [Clear(0)]
    assert slots.cells.used == 0
    assert slots.find(sequence([*A, 1])) == PrefixMatch()


def test_the_audit_finds_a_slot_whose_cells_are_not_its_tokens() -> None:
    slots = make_slots()
    runner = run(slots, A)
    runner.num_computed -= 1
    with pytest.raises(AssertionError, match="cells without tokens"):
        slots.check_integrity()
