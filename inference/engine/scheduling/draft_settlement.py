"""What becomes of a draft after its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.operations import KVOp, Reuse
from inference.engine.speculative.acceptance import Acceptance

if TYPE_CHECKING:
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.sequence import Sequence
    from inference.engine.step import StepItem


class DraftSettlement:
    """Drops the cells of drafted tokens that were wrong, and learns from them."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        #: How good drafts are here, for sequences of which it is not known yet.
        self._acceptance = Acceptance()

    def welcome(self, sequence: Sequence) -> None:
        """Expect of a new sequence what was seen of the others."""
        self._acceptance.rest()
        sequence.acceptance.rate = self._acceptance.rate

    def settle(self, item: StepItem, accepted: int) -> list[KVOp]:
        """Apply what a step accepted of an item's draft, which may be empty."""
        sequence = item.sequence
        if not item.num_draft:
            sequence.acceptance.rest()
            return []
        for acceptance in (sequence.acceptance, self._acceptance):
            acceptance.observe(item.num_draft, accepted)
        sequence.num_drafted += item.num_draft
        sequence.num_accepted += accepted
        length = item.start + len(item.tokens) - item.num_draft + accepted
        if length == sequence.num_computed:
            return []
        self._slots.cut(sequence, length)
        return [Reuse(sequence, sequence.slot or 0, length)]
