from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.scheduling.fairness.fair_queue import FairQueue
from tests.inference.engine.sequences import sequence

if TYPE_CHECKING:
    from inference.engine.sequence import Sequence


def served(queue: FairQueue[Sequence], times: int, *, prefill: int = 10) -> str:
    """Serve the next sequence ``times`` times; return the keys, in order."""
    order = ""
    for _ in range(times):
        following = queue.first(lambda _: True)
        assert following is not None
        queue.take(following)
        queue.charge(following, prefill=prefill)
        queue.leave(following)
        order += following.request.key
    return order


def test_keys_take_turns_however_many_each_has_queued() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    for key in "AAAAAAAABB":
        queue.enter(sequence([1], key=key))
    assert served(queue, 5) == "ABABA"


def test_a_key_of_twice_the_weight_is_served_twice_as_often() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    for _ in range(12):
        queue.enter(sequence([1], key="A", weight=2.0))
        queue.enter(sequence([1], key="B"))
    assert served(queue, 9).count("A") == 6


def test_idle_time_is_not_saved_up() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    for _ in range(20):
        queue.enter(sequence([1], key="A"))
    served(queue, 10)
    for _ in range(10):
        queue.enter(sequence([1], key="B"))
    assert served(queue, 6).count("A") == 3


def test_a_newcomer_is_next_after_one_turn_of_the_others() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    for _ in range(500):
        queue.enter(sequence([1], key="A"))
    served(queue, 100)
    queue.enter(sequence([1], key="B"))
    assert "B" in served(queue, 2)


def test_within_a_key_priority_comes_before_arrival() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    late = [
        sequence([1], key="A", priority=5),
        sequence([1], key="A"),
        sequence([1], key="A", priority=-1),
    ]
    for each in late:
        queue.enter(each)
    assert queue.first(lambda _: True) is late[2]
    assert queue.first(lambda s: s is not late[2]) is late[1]


def test_what_ran_and_must_wait_again_is_before_what_came_later() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    first, second = sequence([1], key="A"), sequence([1], key="A")
    queue.enter(first)
    queue.enter(second)
    queue.take(first)
    queue.put_back(first)
    assert queue.first(lambda _: True) is first
    assert len(queue) == 2


def test_what_is_idle_only_waits_for_all_others_even_those_that_run() -> None:
    queue: FairQueue[Sequence] = FairQueue()
    queue.enter(sequence([1], key="A", idle_only=True))
    live = sequence([1], key="B")
    queue.enter(live)
    assert queue.first(lambda _: True) is live
    queue.take(live)
    assert queue.first(lambda _: True) is None
    queue.leave(live)
    assert served(queue, 1) == "A"
