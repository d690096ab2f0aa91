"""Applies the result of a draft after its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.operations import KVOp, Reuse
from inference.engine.speculative.acceptance import Acceptance

if TYPE_CHECKING:
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.sequence import Sequence
    from inference.engine.step import StepItem


class DraftSettlement:
    """Drops the cells of wrong drafted tokens, and updates acceptance."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        #: The acceptance of all sequences, for new ones.
        self._acceptance = Acceptance()

    def welcome(self, sequence: Sequence) -> None:
        """Give a new sequence the acceptance of the others."""
        self._acceptance.rest()
        sequence.acceptance.rate = self._acceptance.rate

    def settle(self, item: StepItem, accepted: int) -> list[KVOp]:
        """Apply which tokens of an item's draft, which may be empty, were accepted."""
        sequence = item.sequence
        if not item.num_draft:
            sequence.acceptance.rest()
            return []
        for acceptance in (sequence.acceptance, self._acceptance):
            acceptance.observe(item.num_draft, accepted)
        sequence.num_drafted += item.num_draft
        sequence.num_accepted += accepted
        if sequence.lookup is not None and sequence.lookup.is_predicted:
            sequence.num_predicted += item.num_draft
            sequence.num_predicted_right += accepted
        length = item.start + len(item.tokens) - item.num_draft + accepted
        if length == sequence.num_computed:
            return []
        self._slots.cut(sequence, length)
        return [Reuse(sequence, sequence.slot or 0, length)]
