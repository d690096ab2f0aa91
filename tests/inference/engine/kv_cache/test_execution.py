"""The books after the real cache fails to do what they say."""

from __future__ import annotations

import pytest

from inference.engine.kv_cache.execution import KVCacheExecutor
from inference.engine.kv_cache.operations import Clear, Fork, LoadPrefix, Reuse
from inference.engine.kv_cache.prefix_transfer import DiskPrefixes
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.sequence import Sequence, SequenceStatus
from inference.engine.telemetry import Telemetry
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.sequences import compute, sequence

TOKENS = list(range(100, 140))


class Cache:
    """Books and a fake cache that agree."""

    def __init__(self, **shape: object) -> None:
        self.backend = FakeBackend(**shape)  # type: ignore[arg-type]
        self.slots = Slots(self.backend.layout)
        self.telemetry = Telemetry()
        disk = DiskPrefixes(None, self.backend, self.slots, self.telemetry)
        self.executor = KVCacheExecutor(self.backend, self.slots, disk, self.telemetry)
        self._queue: FairQueue[Sequence] = FairQueue()

    def run(self, tokens: list[int]) -> Sequence:
        """Start a sequence and compute all of it."""
        new = sequence(tokens)
        self.executor.apply(self.slots.take(new, self.slots.find(new)))
        new.status = SequenceStatus.RUNNING
        cells = self.backend.cells.setdefault(new.slot or 0, [])
        cells += [self.backend._cell(token) for token in tokens[new.num_computed :]]
        compute(new, self.slots)
        self.executor.check_integrity()
        return new


def test_a_cache_begins_empty() -> None:
    backend = FakeBackend()
    backend.cells[2] = [(1, 1, ())]
    slots = Slots(backend.layout)
    telemetry = Telemetry()
    disk = DiskPrefixes(None, backend, slots, telemetry)
    KVCacheExecutor(backend, slots, disk, telemetry).check_integrity()
    assert backend.cells == {}


@pytest.mark.parametrize("ending", ["retire", "drop"])
def test_cells_of_a_finished_sequence_stay_and_those_of_a_dropped_one_go(
    ending: str,
) -> None:
    cache = Cache()
    member = cache.run(TOKENS)
    if ending == "retire":
        cache.slots.retire(member)
    else:
        cache.executor.apply(cache.slots.drop(member))
    cache.executor.check_integrity()
    assert cache.backend.length(0) == (len(TOKENS) if ending == "retire" else 0)


def test_what_cannot_be_cut_is_computed_again() -> None:
    cache = Cache(window=8)
    cache.slots.retire(cache.run(TOKENS))
    other = sequence([*TOKENS[:35], 1])
    ops = cache.slots.take(other, cache.slots.find(other))
    assert any(isinstance(op, Fork | Reuse) for op in ops)
    cache.executor.apply(ops)
    assert other.num_computed == other.num_cached == 0
    cache.executor.check_integrity()


def test_a_source_that_lost_its_cells_is_not_copied() -> None:
    cache = Cache()
    source = cache.run(TOKENS)
    other = sequence([*TOKENS[:20], 1])
    ops = cache.slots.take(other, cache.slots.find(other))
    cache.backend.clear(source.slot or 0)
    cache.executor.apply(ops)
    assert other.num_computed == 0


def test_a_prefix_that_disk_does_not_give_is_computed() -> None:
    cache = Cache()
    member = cache.run(TOKENS)
    cache.executor.apply([Clear(0), LoadPrefix(member, 0, 20)])
    assert member.num_computed == 0
    cache.executor.check_integrity()


def test_an_eviction_is_counted_with_the_cells_that_it_frees() -> None:
    cache = Cache(n_seq_max=1)
    cache.slots.retire(cache.run(TOKENS))
    cache.run([1, 2, 3])
    counters = cache.telemetry.snapshot()["counters"]
    assert (counters["evictions"], counters["evicted_cells"]) == (1, len(TOKENS))


def test_the_audit_finds_a_slot_that_has_other_cells_than_the_books_say() -> None:
    cache = Cache()
    cache.run(TOKENS)
    cache.backend.cells[0].pop()
    with pytest.raises(AssertionError, match="slot 0 has 39 cells, not 40"):
        cache.executor.check_integrity()
