"""Delays sequences whose prefix is being computed, or read from disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from inference.engine.kv_cache.slots import Slots
    from inference.engine.sequence import Sequence


class PrefixWaiting:
    """Makes sequences that share a prefix wait until one of them has computed it.

    Otherwise requests that arrive together with one long system prompt would each
    compute it: nothing of it is in the cache when they start.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def must_wait(self, sequence: Sequence, paused: Collection[Sequence]) -> bool:
        """Whether to start the sequence later, with cells that it need not compute.

        No sequence waits for a ``paused`` one, which may not continue for long.
        """
        if sequence.saved is not None:
            return False
        if sequence.stored is not None and not sequence.stored.is_done:
            return True
        leader = sequence.waits_for
        if leader and leader.is_running and leader.num_computed < sequence.waits_until:
            return leader not in paused
        found = self._slots.find(sequence).length
        if sequence.stored is not None:
            found = max(found, sequence.stored.length)
        pending = self._slots.pending(sequence, found)
        if pending is None or pending[0] in paused:
            return False
        sequence.waits_for, sequence.waits_until = pending
        return True

    def awaited(self, waiting: Iterable[Sequence]) -> dict[str, int]:
        """Return by request id how many tokens of a sequence others wait for.

        A prefill chunk ends there: some models' cells can only be copied at their end.
        """
        ends: dict[str, int] = {}
        for sequence in waiting:
            leader, end = sequence.waits_for, sequence.waits_until
            if leader is not None and leader.num_computed < end:
                name = leader.request_id
                ends[name] = min(end, ends.get(name, end))
        return ends
