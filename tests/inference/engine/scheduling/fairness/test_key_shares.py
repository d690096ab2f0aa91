from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.fairness.key_shares import KeyShares
from inference.engine.scheduling.fairness.visits import (
    EXPECTED_AT_MOST_S,
    PATIENCE,
    SHORT_STAY,
)
from inference.engine.scheduling.pacing.step_times import StepTimes
from tests.fakes import Clock
from tests.inference.engine.sequences import sequence, start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.sequence import Sequence


class Room:
    """Four slots between the sequences of some keys."""

    def __init__(self) -> None:
        self.queue: FairQueue[Sequence] = FairQueue()
        self.slots = Slots(CacheLayout(n_ctx=64, n_seq_max=4, n_cells=256))
        self.clock = Clock()
        self.shares = KeyShares(self.queue, self.slots, StepTimes(), clock=self.clock)
        self.sequences: list[Sequence] = []

    def run(self, keys: str) -> list[Sequence]:
        return self._start(sequence([1], key=key) for key in keys)

    def run_idle(self, keys: str) -> list[Sequence]:
        return self._start(sequence([1], key=key, idle_only=True) for key in keys)

    def _start(self, coming: Iterable[Sequence]) -> list[Sequence]:
        new = [start(each, self.slots, self.queue) for each in coming]
        for each in new:
            each.queued_at = self.clock.now
        self.sequences += new
        return new

    def ask_twice(self, keys: str, pause_s: float = 0.1) -> None:
        """Let keys have a sequence, pause, and have one more; all of them end."""
        for _ in range(2):
            for ended in self.run(keys):
                self.update()
                self.end(ended)
            self.update()
            self.clock.now += pause_s
        self.clock.now -= pause_s

    def wait(self, keys: str) -> None:
        for key in keys:
            self.sequences.append(sequence([1], key=key))
            self.queue.enter(self.sequences[-1])

    def update(self) -> None:
        self.shares.update(self.sequences)

    def end(self, ended: Sequence) -> None:
        self.slots.retire(ended)
        self.queue.leave(ended)
        self.sequences.remove(ended)


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_key_alone_has_no_bound(room: Room) -> None:
    running = room.run("AAAA")
    room.wait("A")
    room.update()
    assert room.shares.has_room("A")
    assert room.shares.active() == running
    assert room.shares.to_preempt() == []
    assert room.shares.paused() == set()


def test_what_waits_to_be_prepared_counts_with_a_keys_sequences(room: Room) -> None:
    first, second, _ = room.run("AAB")
    first.num_behind, second.num_behind = 3, 0
    room.update()
    # The newest says how many are left.
    assert room.shares.light == {"B"}
    room.end(first)
    room.update()
    assert room.shares.light == frozenset()
    second.num_behind = 1
    room.update()
    assert room.shares.light == {"B"}


def test_the_youngest_of_a_key_beyond_its_share_make_room(room: Room) -> None:
    running = room.run("AAAA")
    room.wait("BB")
    room.update()
    assert room.shares.to_preempt() == [running[3], running[2]]
    assert not room.shares.has_room("A")
    assert room.shares.has_room("B")


def test_free_slots_are_given_before_any_is_taken(room: Room) -> None:
    room.run("AAA")
    room.wait("B")
    room.update()
    assert room.shares.to_preempt() == []


def test_what_is_beyond_a_share_pauses_where_nobody_needs_its_slot(room: Room) -> None:
    running = room.run("AAAB")
    room.wait("B")
    room.update()
    # Two slots of four each, but the other one of B waits for a prefix, say.
    assert room.shares.paused() < set(running[:3])
    assert len(room.shares.active()) == 3
    assert running[3] in room.shares.active()


def test_another_number_of_slots_is_shared_out_again(room: Room) -> None:
    room.run("A")
    room.wait("AABB")
    room.update()
    assert room.shares.has_room("A")
    room.slots.reset(CacheLayout(n_ctx=128, n_seq_max=2, n_cells=256))
    start(room.sequences[0], room.slots, FairQueue())
    room.shares.reset()
    room.update()
    assert not room.shares.has_room("A")


PAUSE_S = 0.1


def test_a_key_that_asks_again_and_again_keeps_its_share_between_its_questions(
    room: Room,
) -> None:
    room.run("AAA")
    room.ask_twice("B")
    room.wait("A")
    room.update()
    # B may ask again at once: A does not take its slot.
    assert room.shares.num_expected == 1
    assert not room.shares.has_room("A")


def test_a_key_is_expected_for_a_few_of_its_own_pauses(room: Room) -> None:
    room.run("AAA")
    room.ask_twice("B")
    room.wait("A")
    room.update()
    room.clock.now += PATIENCE * PAUSE_S
    room.update()
    assert room.shares.num_expected == 0
    assert room.shares.has_room("A")


def test_a_key_that_has_not_come_back_yet_is_not_expected(room: Room) -> None:
    running = room.run("AAAB")
    room.update()
    room.end(running[3])
    room.wait("A")
    room.update()
    assert room.shares.num_expected == 0
    assert room.shares.has_room("A")


def test_a_key_whose_requests_take_many_steps_is_not_expected(room: Room) -> None:
    room.run("AA")
    room.ask_twice("B")
    room.update()
    assert room.shares.num_expected == 1
    (long,) = room.run("B")
    for _ in range(SHORT_STAY + 1):
        room.update()
    room.end(long)
    room.update()
    assert room.shares.num_expected == 0


def test_no_key_is_expected_for_long(room: Room) -> None:
    room.run("AAA")
    room.ask_twice("B", pause_s=0.9 * EXPECTED_AT_MOST_S)
    room.update()
    assert room.shares.num_expected == 1
    room.clock.now += EXPECTED_AT_MOST_S
    room.update()
    assert room.shares.num_expected == 0


def test_a_quick_question_after_a_slow_one_does_not_forget_the_pause(
    room: Room,
) -> None:
    room.run("AAA")
    room.ask_twice("B", pause_s=0.4)
    room.clock.now += 0.01
    (again,) = room.run("B")
    room.update()
    room.end(again)
    room.update()
    room.clock.now += 0.4
    room.update()
    assert room.shares.num_expected == 1


def test_no_slot_stays_empty_for_keys_that_may_ask_while_others_do(room: Room) -> None:
    room.run("A")
    room.ask_twice("BCD")
    room.wait("EAA")
    room.update()
    assert room.shares.num_expected == 0
    assert room.shares.has_room("A")


def test_what_is_idle_only_pauses_while_anybody_else_is_here(room: Room) -> None:
    idle = room.run_idle("AA")
    room.update()
    assert room.shares.active() == idle
    (live,) = room.run("A")
    room.update()
    assert room.shares.active() == [live]
    assert room.shares.paused() == set(idle)
    room.end(live)
    room.update()
    assert idle[0] in room.shares.active()


def test_what_is_idle_only_gives_up_the_slots_that_others_need(room: Room) -> None:
    idle = room.run_idle("AAAA")
    room.wait("BB")
    room.update()
    assert room.shares.to_preempt() == [idle[3], idle[2]]
    assert room.shares.held() == idle[::-1]


def test_while_all_is_idle_steps_stay_short_for_who_may_come(room: Room) -> None:
    (idle,) = room.run_idle("A")
    room.update()
    assert room.shares.num_expected == 1
    room.end(idle)
    room.update()
    assert room.shares.num_expected == 0
