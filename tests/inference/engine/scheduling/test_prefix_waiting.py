from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.slots import MIN_WAIT, Slots
from inference.engine.prefix_cache.disk_cache import StoredPrefix
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.prefix_waiting import PrefixWaiting
from tests.inference.engine.sequences import compute, sequence, start

if TYPE_CHECKING:
    from inference.engine.sequence import Sequence

SYSTEM = list(range(100, 100 + 2 * MIN_WAIT))


@pytest.fixture
def slots() -> Slots:
    return Slots(CacheLayout(n_ctx=512, n_seq_max=4, n_cells=2048))


@pytest.fixture
def leader(slots: Slots) -> Sequence:
    """Return a running sequence that has computed nothing yet."""
    return start(sequence([*SYSTEM, 1, 2]), slots, FairQueue())


def test_a_shared_prefix_is_waited_for_until_it_is_computed(
    slots: Slots, leader: Sequence
) -> None:
    waiting = PrefixWaiting(slots)
    follower = sequence([*SYSTEM, 3])
    assert waiting.must_wait(follower, paused=())
    assert waiting.awaited([follower]) == {leader.request_id: len(SYSTEM)}
    compute(leader, slots, len(SYSTEM) - 1)
    assert waiting.must_wait(follower, paused=())
    compute(leader, slots, 1)
    assert not waiting.must_wait(follower, paused=())
    assert waiting.awaited([follower]) == {}


def test_a_short_prefix_is_not_waited_for(slots: Slots, leader: Sequence) -> None:
    follower = sequence([*SYSTEM[: MIN_WAIT - 1], 3])
    assert not PrefixWaiting(slots).must_wait(follower, paused=())


def test_nobody_waits_for_a_paused_one(slots: Slots, leader: Sequence) -> None:
    follower = sequence([*SYSTEM, 3])
    assert not PrefixWaiting(slots).must_wait(follower, paused={leader})


def test_one_that_began_to_wait_stops_when_the_other_pauses(
    slots: Slots, leader: Sequence
) -> None:
    waiting = PrefixWaiting(slots)
    follower = sequence([*SYSTEM, 3])
    assert waiting.must_wait(follower, paused=())
    assert not waiting.must_wait(follower, paused={leader})


def test_one_that_was_preempted_has_its_cells_and_waits_for_none(
    slots: Slots, leader: Sequence
) -> None:
    follower = sequence([*SYSTEM, 3])
    follower.saved = b"its cells"
    assert not PrefixWaiting(slots).must_wait(follower, paused=())


def test_a_prefix_on_its_way_from_disk_is_waited_for(slots: Slots) -> None:
    reading: Future[bytes | None] = Future()
    follower = sequence([*SYSTEM, 3])
    follower.stored = StoredPrefix(len(SYSTEM), reading)
    waiting = PrefixWaiting(slots)
    assert waiting.must_wait(follower, paused=())
    reading.set_result(b"cells")
    assert not waiting.must_wait(follower, paused=())


def test_where_several_wait_a_prefill_halts_for_the_first(
    slots: Slots, leader: Sequence
) -> None:
    waiting = PrefixWaiting(slots)
    followers = [sequence([*SYSTEM[:end], 3]) for end in (len(SYSTEM), MIN_WAIT + 5)]
    assert all(waiting.must_wait(each, paused=()) for each in followers)
    assert waiting.awaited(followers) == {leader.request_id: MIN_WAIT + 5}
