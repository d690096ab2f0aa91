"""Preempts running sequences: they give up their slot and come back later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.operations import KVOp, Save
from inference.engine.sequence import Sequence, SequenceStatus

if TYPE_CHECKING:
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fairness.fair_queue import FairQueue

#: The limit of the saved cells of preempted sequences, as a share of the cache, whose
#: memory they are not part of. Cells beyond that are computed again.
_SAVED_SHARE = 0.5


class Preemption:
    """Preempts sequences, the youngest first."""

    def __init__(self, queue: FairQueue[Sequence], slots: Slots) -> None:
        self._queue = queue
        self._slots = slots

    def short_of_cells(self) -> list[Sequence]:
        """Return the sequences to preempt so that each other one gets one more cell.

        Cached prefixes are evicted before.
        """
        if self._slots.layout.is_split:
            return []
        running = sorted(self._slots.running, key=lambda sequence: sequence.order)
        found: list[Sequence] = []
        while len(running) > 1 and self._slots.free_beside(running) < len(running):
            found.append(running.pop())
        return found

    def youngest(self) -> Sequence:
        """Return the sequence to preempt first."""
        return max(self._slots.running, key=lambda sequence: sequence.order)

    def preempt(self, sequence: Sequence) -> list[KVOp]:
        """Take a running sequence's slot and queue it again at its old place.

        Its cells are saved beside the cache, or computed again if too many are saved
        already.
        """
        sequence.status = SequenceStatus.WAITING
        saved = sum(s.num_computed for s in self._queue if s.saved is not None)
        most = _SAVED_SHARE * self._slots.layout.n_cells
        ops: list[KVOp] = []
        if sequence.num_computed and saved + sequence.num_computed <= most:
            ops.append(Save(sequence, sequence.slot or 0))
            # Replaced by the cells themselves when the operation is executed.
            sequence.saved = b""
        else:
            sequence.num_computed = 0
            sequence.prompt_logprobs = ()
        self._queue.put_back(sequence)
        return [*ops, *self._slots.drop(sequence)]
