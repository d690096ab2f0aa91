from __future__ import annotations

import pytest

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.operations import Clear, Save
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.preemption import Preemption
from inference.engine.sequence import Sequence, SequenceStatus
from tests.inference.engine.sequences import compute, sequence, start

N_CELLS = 100


@pytest.fixture
def queue() -> FairQueue[Sequence]:
    return FairQueue()


@pytest.fixture
def slots() -> Slots:
    return Slots(CacheLayout(n_ctx=100, n_seq_max=4, n_cells=N_CELLS, is_split=False))


def running(
    slots: Slots, queue: FairQueue[Sequence], length: int, priority: int = 0
) -> Sequence:
    first = 1000 * (slots.count - slots.num_free)
    tokens = list(range(first, first + length))
    new = start(sequence(tokens, priority=priority), slots, queue)
    compute(new, slots)
    return new


def test_the_youngest_go_until_each_of_the_others_gets_a_cell(
    slots: Slots, queue: FairQueue[Sequence]
) -> None:
    members = [running(slots, queue, length) for length in (40, 40, 18)]
    preemption = Preemption(queue, slots)
    # Two cells are free, and three are needed.
    assert preemption.short_of_cells() == [members[2]]
    slots.drop(members[2])
    assert preemption.short_of_cells() == []


def test_a_higher_priority_number_goes_before_a_younger_one(
    slots: Slots, queue: FairQueue[Sequence]
) -> None:
    late = running(slots, queue, 10, priority=5)
    running(slots, queue, 10)
    assert Preemption(queue, slots).youngest() is late


def test_in_a_split_cache_nobody_takes_another_ones_cells(
    queue: FairQueue[Sequence],
) -> None:
    slots = Slots(CacheLayout(n_ctx=20, n_seq_max=2, n_cells=40))
    for _ in range(2):
        running(slots, queue, 20)
    assert Preemption(queue, slots).short_of_cells() == []


def test_its_cells_are_saved_and_it_waits_again(
    slots: Slots, queue: FairQueue[Sequence]
) -> None:
    member = running(slots, queue, 30)
    ops = Preemption(queue, slots).preempt(member)
    assert ops == [Save(member, 0), Clear(0)]
    assert member.status is SequenceStatus.WAITING
    assert member.num_computed == 30
    assert list(queue) == [member]
    assert slots.cells.used == 0


def test_what_is_saved_takes_at_most_half_as_much_as_the_cache(
    slots: Slots, queue: FairQueue[Sequence]
) -> None:
    first, second = (running(slots, queue, 30) for _ in range(2))
    preemption = Preemption(queue, slots)
    preemption.preempt(first)
    assert preemption.preempt(second) == [Clear(1)]
    assert second.num_computed == 0
    assert first.num_computed == 30
