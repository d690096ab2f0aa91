from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.operations import Evict, Restore, Reuse
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.admission import Admission
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.fairness.key_shares import KeyShares
from inference.engine.scheduling.pacing.step_times import StepTimes
from inference.engine.scheduling.prefix_waiting import PrefixWaiting
from tests.inference.engine.sequences import compute, sequence

if TYPE_CHECKING:
    from inference.engine.sequence import Sequence


class Door:
    """Admission to a unified cache of 100 cells and four slots."""

    def __init__(self) -> None:
        self.queue: FairQueue[Sequence] = FairQueue()
        self.slots = Slots(
            CacheLayout(n_ctx=100, n_seq_max=4, n_cells=100, is_split=False)
        )
        shares = KeyShares(self.queue, self.slots, StepTimes())
        self.admission = Admission(
            self.queue, self.slots, shares, PrefixWaiting(self.slots)
        )

    def wait(self, first: int, length: int, priority: int = 0) -> Sequence:
        tokens = list(range(first, first + length))
        new = sequence(tokens, priority=priority)
        self.queue.enter(new)
        return new

    def leave(self, sequence: Sequence) -> None:
        compute(sequence, self.slots)
        self.slots.retire(sequence)
        self.queue.leave(sequence)


def test_all_get_a_slot_while_there_is_room() -> None:
    door = Door()
    waiting = [door.wait(1000 * n, 5) for n in range(5)]
    admitted, ops = door.admission.admit(paused=())
    assert admitted == waiting[:4]
    assert ops == []
    assert all(each.is_running for each in admitted)
    assert list(door.queue) == waiting[4:]


def test_a_long_prompt_that_finds_no_cells_is_not_overtaken() -> None:
    door = Door()
    door.wait(0, 60)
    door.admission.admit(paused=())
    long, _ = door.wait(1000, 60), door.wait(2000, 5)
    assert door.admission.admit(paused=()) == ([], [])
    assert not long.is_running


def test_cached_prefixes_make_room() -> None:
    door = Door()
    first = door.wait(0, 60)
    door.admission.admit(paused=())
    door.leave(first)
    later = door.wait(1000, 60)
    assert door.admission.admit(paused=()) == ([later], [Evict(0, 60)])


def test_a_prefix_that_is_there_counts_as_cached() -> None:
    door = Door()
    first = door.wait(0, 40)
    door.admission.admit(paused=())
    door.leave(first)
    again = door.wait(0, 45)
    _, ops = door.admission.admit(paused=())
    assert ops == [Reuse(again, 0, 40)]
    assert (again.num_cached, again.num_uncomputed) == (40, 5)


def test_one_that_was_preempted_gets_its_own_cells_back() -> None:
    door = Door()
    back = door.wait(0, 20)
    back.num_computed, back.saved, back.started_at = 20, b"cells", 1.0
    _, ops = door.admission.admit(paused=())
    assert ops == [Restore(back, 0)]
    assert back.num_cached == 0
    assert door.slots.cells.used == 20


def test_nobody_joins_while_it_is_closed() -> None:
    door = Door()
    door.wait(0, 5)
    door.admission.is_closed = True
    assert door.admission.admit(paused=()) == ([], [])
