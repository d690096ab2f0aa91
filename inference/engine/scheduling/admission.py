"""Admits waiting sequences: gives them slots and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.slots import PrefixMatch
from inference.engine.sequence import Sequence, SequenceStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from inference.engine.kv_cache.operations import KVOp
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fairness.fair_queue import FairQueue
    from inference.engine.scheduling.fairness.key_shares import KeyShares
    from inference.engine.scheduling.prefix_waiting import PrefixWaiting

#: Cells that must stay free for each running sequence when another one is admitted, so
#: that the new one is not preempted at once.
_HEADROOM = 16


class Admission:
    """Gives free slots to waiting sequences, in the queue's order.

    A sequence that waits for its key's share or for a prefix does not block later ones;
    one that finds no cells does, else a long prompt would never start.
    """

    def __init__(
        self,
        queue: FairQueue[Sequence],
        slots: Slots,
        shares: KeyShares,
        prefixes: PrefixWaiting,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._shares = shares
        self._prefixes = prefixes
        #: Whether llama.cpp found no cells for the running sequences: no other may
        #: join.
        self.is_closed = False
        #: Whether the next sequence found no cells at the last call.
        self.is_short = False

    def admit(self, paused: Collection[Sequence]) -> tuple[list[Sequence], list[KVOp]]:
        """Return the admitted sequences, and the operations on the cache for them."""

        def is_ready(sequence: Sequence) -> bool:
            has_room = self._shares.has_room(sequence.request.share)
            return has_room and not self._prefixes.must_wait(sequence, paused)

        admitted: list[Sequence] = []
        ops: list[KVOp] = []
        self.is_short = False
        while self._slots.num_free and not self.is_closed:
            first = self._queue.first(is_ready)
            if first is None:
                break
            reclaimed = self._make_room(first)
            if reclaimed is None:
                self.is_short = True
                break
            ops += [*reclaimed, *self._start(first)]
            admitted.append(first)
        return admitted, ops

    def _make_room(self, sequence: Sequence) -> list[KVOp] | None:
        """Return what frees cells for a waiting sequence; None if nothing does."""
        running = self._slots.running
        promised = sum(s.num_uncomputed for s in running)
        needed = len(sequence.tokens) + promised + _HEADROOM * len(running)
        if not running:
            needed = min(needed, self._slots.layout.n_cells)
        if self._slots.layout.is_split or needed <= self._slots.cells.free:
            return []
        if needed > self._slots.free_beside(running):
            return None
        return self._slots.reclaim(needed)

    def _start(self, sequence: Sequence) -> list[KVOp]:
        match = PrefixMatch() if sequence.saved else self._slots.find(sequence)
        if sequence.stored and match.length >= sequence.stored.length:
            sequence.stored = None
        self._queue.take(sequence)
        ops = self._slots.take(sequence, match)
        sequence.status = SequenceStatus.RUNNING
        sequence.waits_for = None
        if sequence.started_at is None:
            sequence.num_cached = min(sequence.num_computed, sequence.num_prompt)
        # Charged now, so that the next admission goes to another key.
        self._queue.charge(sequence, prefill=sequence.num_uncomputed)
        return ops
