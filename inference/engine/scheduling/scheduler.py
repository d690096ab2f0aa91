"""The scheduler of continuous batching: which tokens are computed in the next step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.adapter_turns import AdapterTurns
from inference.engine.scheduling.admission import Admission
from inference.engine.scheduling.draft_settlement import DraftSettlement
from inference.engine.scheduling.end_of_answer import check_stop
from inference.engine.scheduling.fairness.anticipation import Anticipation
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.fairness.key_shares import KeyShares
from inference.engine.scheduling.preemption import Preemption
from inference.engine.scheduling.prefix_waiting import PrefixWaiting
from inference.engine.scheduling.step_planner import StepPlanner
from inference.engine.sequence import FinishReason, Sequence
from inference.engine.step import Sampled, StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inference.engine.backend import Tokenizer
    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.kv_cache.operations import KVOp
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.engine.scheduling.draft_planner import DraftBudget
    from inference.engine.scheduling.pacing.step_times import StepTimes

_NOTHING = Sampled()


@dataclass(frozen=True, slots=True)
class SlotChanges:
    """The sequences that got or lost a slot, and the operations on the cache."""

    operations: list[KVOp]
    admitted: list[Sequence]
    num_preempted: int


@dataclass(frozen=True, slots=True)
class NewTokens:
    """A sequence's newest ``count`` tokens, and the logprob of each if requested.

    ``num_draft`` tokens of the step were drafted, ``num_accepted`` of them accepted.
    """

    sequence: Sequence
    count: int
    logprobs: tuple[TokenLogprobs, ...] = ()
    num_draft: int = 0
    num_accepted: int = 0


class Scheduler:
    """Decides, as data, what a step computes, and applies its results.

    A step is ``assign_slots``, ``wait_s``, ``schedule`` and ``update``. Each part of
    this folder makes one decision; this class calls them in order. The scheduler knows
    no model: it returns operations for the real cache.
    """

    def __init__(
        self,
        *,
        layout: CacheLayout,
        n_ctx_max: int,
        n_batch: int,
        n_outputs_max: int,
        tokenizer: Tokenizer,
        times: StepTimes,
        can_cut: bool = True,
        shares_prefixes: bool = False,
        fixed_piece: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_ctx_max = n_ctx_max
        self.slots = Slots(
            layout,
            can_cut=can_cut,
            shares_prefixes=shares_prefixes,
            reuses_prefixes=not fixed_piece,
        )
        #: The sequences of the next step, chosen by ``assign_slots``.
        self.runnable: list[Sequence] = []
        self._tokenizer = tokenizer
        self._by_id: dict[str, Sequence] = {}
        self._queue: FairQueue[Sequence] = FairQueue()
        self._turns = AdapterTurns()
        self._shares = KeyShares(self._queue, self.slots, times, clock=clock)
        prefixes = PrefixWaiting(self.slots)
        self._preemption = Preemption(self._queue, self.slots)
        self._admission = Admission(self._queue, self.slots, self._shares, prefixes)
        self._planner = StepPlanner(
            self._queue,
            self.slots,
            times,
            prefixes,
            self._shares,
            n_batch=n_batch,
            n_outputs_max=n_outputs_max,
            fixed_piece=fixed_piece,
        )
        self._drafts = DraftSettlement(self.slots)
        self._anticipation = Anticipation(clock)

    @property
    def num_waiting(self) -> int:
        """The number of sequences without a slot."""
        return len(self._queue)

    @property
    def num_running(self) -> int:
        """The number of sequences with a slot."""
        return len(self.slots.running)

    def unfinished(self) -> list[Sequence]:
        """Return every sequence that is waiting or running."""
        return [s for s in self._by_id.values() if not s.is_finished]

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its id must be new."""
        if sequence.request_id in self._by_id:
            raise ValueError(f"request {sequence.request_id} is already here")
        self._by_id[sequence.request_id] = sequence
        self._drafts.welcome(sequence)
        self._queue.enter(sequence)

    def abort(self, request_ids: Iterable[str]) -> bool:
        """Finish the sequences of these requests; return whether any was unfinished."""
        has_aborted = False
        for request_id in request_ids:
            sequence = self._by_id.get(request_id)
            if sequence is not None and not sequence.is_finished:
                sequence.finish(FinishReason.ABORTED)
                has_aborted = True
        return has_aborted

    def release(self) -> tuple[list[Sequence], list[KVOp]]:
        """Remove finished sequences; return them and the operations on the cache.

        Their cells stay as cached prefixes, except those of failed ones, whose content
        is unknown.
        """
        ended = [s for s in self._by_id.values() if s.is_finished]
        ops: list[KVOp] = []
        for sequence in ended:
            if sequence.slot is None:
                self._queue.take(sequence)
            else:
                self._admission.is_closed = False
                if sequence.finish_reason is FinishReason.FAILED:
                    ops += self.slots.drop(sequence)
                else:
                    self.slots.retire(sequence)
            self._queue.leave(sequence)
            del self._by_id[sequence.request_id]
        if ended:
            self._shares.leave(self._by_id.values())
        return ended, ops

    # A step -------------------------------------------------------------------

    def assign_slots(self) -> SlotChanges:
        """Decide which sequences have a slot in the next step, and which run."""
        self._shares.update(self._by_id.values())
        ops: list[KVOp] = []
        num_preempted = 0
        for to_preempt in (self._preemption.short_of_cells, self._shares.to_preempt):
            for sequence in to_preempt():
                ops += self._preemption.preempt(sequence)
                num_preempted += 1
        # Each needs a cell for its next token.
        ops += self.slots.reclaim(self.num_running)
        if num_preempted or not self.num_running:
            self._admission.is_closed = False
        admitted, changes = self._admission.admit(self._shares.paused())
        ops += changes
        # Those that wait for all others must not keep them from starting.
        while (self._admission.is_short or self._admission.is_closed) and (
            held := self._shares.held()
        ):
            ops += self._preemption.preempt(held[0])
            num_preempted += 1
            self._admission.is_closed = False
            more, changes = self._admission.admit(self._shares.paused())
            admitted += more
            ops += changes
        active = self._shares.active()
        ops += self.slots.compact(active)
        self._turns.prepare(s.request.adapters for s in active)
        adapters = self._turns.current
        self.runnable = [s for s in active if s.request.adapters == adapters]
        return SlotChanges(ops, admitted, num_preempted)

    def wait_s(self) -> float:
        """Return for how long no step is to begin, unless a request comes; or 0."""
        wait_s = self._anticipation.wait_s(self._shares.awaited)
        if wait_s:
            self._planner.skip()
        return wait_s

    @property
    def waited_s(self) -> float:
        """For how long no step has begun in all because of ``wait_s``."""
        return self._anticipation.waited_s

    def draft_budget(self) -> DraftBudget:
        """Return which sequences of the next step may have drafts."""
        return self._planner.draft_budget(self.runnable)

    def schedule(self, drafts: Mapping[Sequence, list[int]]) -> StepPlan:
        """Return the next step.

        ``drafts`` may follow the newest tokens of sequences that decode; they keep to
        the ``draft_budget``.
        """
        return self._planner.plan(self.runnable, drafts)

    def update(
        self, plan: StepPlan, sampled: Mapping[int, Sampled]
    ) -> tuple[list[NewTokens], list[KVOp]]:
        """Apply a computed step.

        Returns the new tokens of its sequences, and the operations on the cache.
        Sequences that end are finished, but keep their slot until ``release``.
        """
        self._turns.count_step()
        self._anticipation.end_step()
        new_tokens = []
        ops: list[KVOp] = []
        for item in plan.items:
            sequence = item.sequence
            if sequence.is_finished:
                continue
            result = sampled.get(sequence.slot or 0, _NOTHING)
            self.slots.grow(sequence, len(item.tokens))
            if item.start == 0:
                # After a sequence has lost its cells, its prompt is computed a second
                # time.
                sequence.prompt_logprobs = ()
            sequence.prompt_logprobs += result.prompt_logprobs
            if result.error is not None:
                sequence.fail(result.error)
            if item.samples:
                count = self._append(sequence, result)
                accepted = min(result.num_accepted, count)
                forced = len(result.tokens) - result.num_accepted - 1
                sequence.num_forced = max(forced, 0)
                ops += self._drafts.settle(item, accepted)
                new_tokens.append(
                    NewTokens(
                        sequence,
                        count,
                        result.logprobs[:count],
                        item.num_draft,
                        accepted,
                    )
                )
        return new_tokens, ops

    def _append(self, sequence: Sequence, result: Sampled) -> int:
        """Append sampled tokens up to the end of the answer; return how many."""
        limit = sequence.params.max_tokens
        count = 0
        for token in result.tokens:
            # A request with ``max_tokens`` 0 only needs the prompt's logprobs.
            if limit is not None and sequence.num_output >= limit:
                sequence.finish(FinishReason.LENGTH)
                return count
            sequence.tokens.append(token)
            count += 1
            self._queue.charge(sequence, output=1)
            check_stop(sequence, self._tokenizer, self.n_ctx_max)
            if sequence.is_finished:
                break
        if result.is_complete and count == len(result.tokens):
            sequence.finish(FinishReason.STOP)
        return count

    def give_way(self) -> list[KVOp]:
        """Make room if the real cache has fewer free cells than were counted.

        Evicts all cached prefixes; if there are none, preempts the youngest sequence,
        unless it is the only one. It comes back when another has ended: earlier, the
        cells would be missing again.
        """
        ops = self.slots.reclaim(self.slots.layout.n_cells)
        if ops or self.num_running < 2:
            return ops
        self._admission.is_closed = True
        return self._preemption.preempt(self._preemption.youngest())

    # The context --------------------------------------------------------------

    def context_needed(self) -> int:
        """Return how many positions the longest sequence needs, at most n_ctx_max."""
        needs = (sequence.context_needed for sequence in self._by_id.values())
        return min(max(needs, default=0), self.n_ctx_max)

    def preempt_all(self) -> list[KVOp]:
        """Preempt all sequences and empty the cache, before it is resized."""
        return [op for s in self.slots.running for op in self._preemption.preempt(s)]

    def use_layout(self, layout: CacheLayout) -> None:
        """Continue with an empty cache of another layout, after ``preempt_all``."""
        self.slots.reset(layout)
        self._shares.reset()
        self._admission.is_closed = False

    def check_integrity(self) -> None:
        """Raise AssertionError unless slots, cells, running and waiting agree."""
        self.slots.check_integrity()
        running = self.slots.running
        alive = [s.request_id for s in [*running, *self._queue]]
        if sorted(self._by_id) != sorted(alive):
            raise AssertionError(f"requests lost: {set(self._by_id) ^ set(alive)}")
        for sequence in running:
            if not sequence.is_running:
                raise AssertionError(f"{sequence.request_id} is not running")
