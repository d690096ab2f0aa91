"""The slots of the KV cache: one per sequence that runs."""

from __future__ import annotations

import heapq


class Slots:
    """Hands out slots, the lowest free one first.

    Low and dense slots keep a batch's sequence ids contiguous, which llama.cpp
    needs to put them into one micro-batch.
    """

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._used: set[int] = set()
        self.count = count

    @property
    def num_free(self) -> int:
        """Slots that can be taken."""
        return len(self._free)

    def take(self) -> int:
        """Return a free slot, now used; ask ``num_free`` before."""
        slot = heapq.heappop(self._free)
        self._used.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        """Make a used slot free."""
        self._used.remove(slot)
        heapq.heappush(self._free, slot)

    def check_integrity(self) -> None:
        """Raise AssertionError unless every slot is either free or used."""
        both = sorted([*self._free, *self._used])
        if both != list(range(self.count)):
            raise AssertionError(f"slots lost or doubled: {both}")
