"""Continuous batching: which tokens of which sequences go into the next step."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from inference.engine.pacer import PrefillPacer
from inference.engine.plan import StepItem, StepPlan
from inference.engine.sequence import FinishReason, Sequence, SequenceStatus
from inference.engine.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.engine.backend import Tokenizer


class Scheduler:
    """Decides, as data, what a step computes, and applies what came of it.

    Decoding sequences come first, the rest of the step's token budget goes to
    prefill, first come first served. A prefill of many chunks, the last chunk
    and a decode are the same thing: tokens that have no KV cell yet.
    """

    def __init__(
        self,
        *,
        n_seq_max: int,
        n_ctx: int,
        n_batch: int,
        tokenizer: Tokenizer,
        pacer: PrefillPacer | None = None,
    ) -> None:
        self._n_ctx = n_ctx
        self._n_batch = n_batch
        self._tokenizer = tokenizer
        self.pacer = pacer or PrefillPacer()
        self._slots = Slots(n_seq_max)
        self._waiting: deque[Sequence] = deque()
        self._running: dict[int, Sequence] = {}
        self._by_id: dict[str, Sequence] = {}

    @property
    def num_waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Sequences with a slot."""
        return len(self._running)

    @property
    def num_cells(self) -> int:
        """KV cells that hold a token."""
        return sum(sequence.num_computed for sequence in self._running.values())

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its id must be new."""
        if sequence.request_id in self._by_id:
            raise ValueError(f"request {sequence.request_id} is already here")
        self._by_id[sequence.request_id] = sequence
        self._waiting.append(sequence)

    def admit(self) -> list[Sequence]:
        """Give free slots to waiting sequences; return those, now running."""
        admitted = []
        while self._waiting and self._slots.num_free:
            sequence = self._waiting.popleft()
            sequence.slot = self._slots.take()
            sequence.status = SequenceStatus.RUNNING
            self._running[sequence.slot] = sequence
            admitted.append(sequence)
        return admitted

    def schedule(self) -> StepPlan:
        """Return the next step; changes nothing."""
        chunks: dict[int, int] = {}
        budget = self._n_batch
        # Dicts keep insertion order, so prefills stay in order of arrival.
        prefills = []
        for slot, sequence in self._running.items():
            if sequence.num_uncomputed == 1:
                chunks[slot] = 1
                budget -= 1
            else:
                prefills.append(sequence)
        room = self.pacer.chunk(len(chunks), max(budget, 0))
        for sequence in prefills:
            if room <= 0:
                break
            size = min(sequence.num_uncomputed, room)
            chunks[sequence.slot or 0] = size
            room -= size
        return StepPlan(
            tuple(self._item(slot, chunks[slot]) for slot in sorted(chunks))
        )

    def _item(self, slot: int, size: int) -> StepItem:
        sequence = self._running[slot]
        start = sequence.num_computed
        return StepItem(
            sequence=sequence,
            tokens=sequence.tokens[start : start + size],
            start=start,
            samples=size == sequence.num_uncomputed,
        )

    def update(self, plan: StepPlan, sampled: Mapping[int, int]) -> list[Sequence]:
        """Apply a computed step; return the sequences that got a token.

        Those that have ended by it are finished and keep their slot until
        ``release``.
        """
        advanced = []
        for item in plan.items:
            sequence = item.sequence
            if sequence.is_finished:
                continue
            sequence.num_computed += len(item.tokens)
            if item.samples:
                token = sampled[item.sequence.slot or 0]
                sequence.tokens.append(token)
                self._finish_if_done(sequence, token)
                advanced.append(sequence)
        return advanced

    def _finish_if_done(self, sequence: Sequence, token: int) -> None:
        limit = sequence.params.max_tokens
        if self._tokenizer.is_end(token):
            self.finish(sequence, FinishReason.STOP)
        elif (limit is not None and sequence.num_output >= limit) or len(
            sequence.tokens
        ) >= self._n_ctx:
            self.finish(sequence, FinishReason.LENGTH)

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence; the first reason counts, save that a stop string wins."""
        if not sequence.is_finished or reason is FinishReason.STOP:
            sequence.finish_reason = reason
        sequence.status = SequenceStatus.FINISHED

    def abort(self, request_ids: Iterable[str]) -> list[Sequence]:
        """End these requests; return the sequences that were alive."""
        aborted = []
        for request_id in request_ids:
            sequence = self._by_id.get(request_id)
            if sequence is not None and not sequence.is_finished:
                self.finish(sequence, FinishReason.ABORTED)
                aborted.append(sequence)
        return aborted

    def release(self) -> list[tuple[int, Sequence]]:
        """Forget finished sequences; return those that had a slot, with it."""
        released = []
        for slot, sequence in list(self._running.items()):
            if sequence.is_finished:
                del self._running[slot]
                self._slots.give_back(slot)
                sequence.slot = None
                released.append((slot, sequence))
        if any(sequence.is_finished for sequence in self._waiting):
            self._waiting = deque(s for s in self._waiting if not s.is_finished)
        self._by_id = {
            request_id: sequence
            for request_id, sequence in self._by_id.items()
            if not sequence.is_finished
        }
        return released

    def unfinished(self) -> list[Sequence]:
        """Return every sequence that is waiting or running."""
        return [s for s in self._by_id.values() if not s.is_finished]

    def check_integrity(self) -> None:
        """Raise AssertionError unless slots, running and waiting agree."""
        self._slots.check_integrity()
        if len(self._running) + self._slots.num_free != self._slots.count:
            raise AssertionError("a slot is used by no running sequence")
        for slot, sequence in self._running.items():
            if sequence.slot != slot:
                raise AssertionError(f"slot {slot} belongs to two sequences")
            if not 0 <= sequence.num_computed <= len(sequence.tokens):
                raise AssertionError(f"slot {slot} has cells without tokens")
        known = set(self._by_id)
        alive = {s.request_id for s in [*self._running.values(), *self._waiting]}
        if known != alive:
            raise AssertionError(f"requests lost: {known ^ alive}")
