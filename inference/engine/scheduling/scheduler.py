"""Continuous batching: which tokens of which sequences go into the next step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.kv_cache.operations import KVOp, Reuse, Save
from inference.engine.kv_cache.slots import Match, Slots
from inference.engine.scheduling.adapter_turns import AdapterTurns
from inference.engine.scheduling.drafting import DraftRoom
from inference.engine.scheduling.fair_queue import FairQueue
from inference.engine.scheduling.fair_shares import Demand, shares
from inference.engine.scheduling.step_times import StepTimes
from inference.engine.sequence import FinishReason, Sequence, SequenceStatus
from inference.engine.speculative.acceptance import Acceptance
from inference.engine.step import Sampled, StepItem, StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inference.engine.backend import Tokenizer
    from inference.engine.cache_layout import CacheLayout
    from inference.engine.sampling.logprobs import TokenLogprobs

#: Cells that must stay free for each running sequence when another is admitted,
#: so that what was just admitted is not preempted at once.
_HEADROOM = 16
#: Saved cells of preempted sequences, as a share of the cache: their memory is not
#: in the cache but beside it. What goes beyond is computed again.
_SAVED_SHARE = 0.5


_NOTHING = Sampled()


@dataclass(frozen=True, slots=True)
class Gain:
    """A sequence's newest ``count`` tokens, and how likely each was, if asked.

    ``num_draft`` tokens of the step were guesses, ``num_accepted`` of them right.
    """

    sequence: Sequence
    count: int
    logprobs: tuple[TokenLogprobs, ...] = ()
    num_draft: int = 0
    num_accepted: int = 0


@dataclass(frozen=True, slots=True)
class Preparation:
    """What must be done to the cache before a step, in order; who got a slot."""

    ops: list[KVOp]
    admitted: list[Sequence]
    num_preempted: int


class Scheduler:
    """Decides, as data, what a step computes, and applies what came of it.

    Decoding sequences come first, the rest of the step's token budget goes to
    prefill, fairly between keys. A prefill of many chunks, the last chunk and a
    decode are the same thing: tokens that have no KV cell yet.
    """

    def __init__(
        self,
        *,
        layout: CacheLayout,
        n_ctx_max: int,
        n_batch: int,
        n_outputs_max: int,
        tokenizer: Tokenizer,
        can_cut: bool = True,
        shares_prefixes: bool = False,
        times: StepTimes | None = None,
    ) -> None:
        self.times = times or StepTimes()
        self.n_ctx_max = n_ctx_max
        self._n_batch = n_batch
        self._n_outputs_max = n_outputs_max
        self._tokenizer = tokenizer
        self._can_cut = can_cut
        self._shares_prefixes = shares_prefixes
        self._by_id: dict[str, Sequence] = {}
        self._queue: FairQueue[Sequence] = FairQueue()
        #: How good guesses are here, for sequences of which it is not known yet.
        self._acceptance = Acceptance()
        #: Which sequences of those with a slot go into one batch: see adapter_turns.py.
        self._turns = AdapterTurns()
        #: The sequences of the next step: ``prepare`` chooses them.
        self.in_turn: list[Sequence] = []
        self._granted: dict[str, int] | None = None
        self._demands: dict[str, Demand] | None = None
        #: What has a slot and does not go on, because its key has its share.
        self._held_back: set[Sequence] = set()
        self._use(layout)

    def _use(self, layout: CacheLayout) -> None:
        self._demands = None
        #: Whether llama.cpp found no cells for what runs: nobody may join it.
        self._is_full = False
        self.layout = layout
        self.slots = Slots(
            layout, can_cut=self._can_cut, shares_prefixes=self._shares_prefixes
        )

    @property
    def num_waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._queue)

    @property
    def num_running(self) -> int:
        """Sequences with a slot."""
        return len(self.slots.running)

    # Requests -----------------------------------------------------------------

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its id must be new."""
        if sequence.request_id in self._by_id:
            raise ValueError(f"request {sequence.request_id} is already here")
        self._by_id[sequence.request_id] = sequence
        self._acceptance.rest()
        sequence.acceptance.rate = self._acceptance.rate
        self._queue.enter(sequence)

    def abort(self, request_ids: Iterable[str]) -> list[Sequence]:
        """End these requests; return the sequences that were alive."""
        aborted = []
        for request_id in request_ids:
            sequence = self._by_id.get(request_id)
            if sequence is not None and not sequence.is_finished:
                self.finish(sequence, FinishReason.ABORTED)
                aborted.append(sequence)
        return aborted

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence; the first reason counts, save that a stop string wins."""
        if not sequence.is_finished or reason is FinishReason.STOP:
            sequence.finish_reason = reason
        sequence.status = SequenceStatus.FINISHED

    def release(self) -> tuple[list[Sequence], list[KVOp]]:
        """Forget finished sequences; return them, and what to do to the cache.

        Their cells stay as cached prefixes, but for those whose decode failed:
        what their cells hold is not known.
        """
        ended = [s for s in self._by_id.values() if s.is_finished]
        ops: list[KVOp] = []
        for sequence in ended:
            if sequence.slot is None:
                self._queue.take(sequence)
            else:
                self._is_full = False
                if sequence.finish_reason is FinishReason.FAILED:
                    ops += self.slots.drop(sequence)
                else:
                    self.slots.retire(sequence)
            self._queue.leave(sequence)
            del self._by_id[sequence.request_id]
        return ended, ops

    def unfinished(self) -> list[Sequence]:
        """Return every sequence that is waiting or running."""
        return [s for s in self._by_id.values() if not s.is_finished]

    # The context --------------------------------------------------------------

    def context_needed(self) -> int:
        """Return the positions that the longest sequence needs, at most n_ctx_max."""
        needs = (sequence.context_needed for sequence in self._by_id.values())
        return min(max(needs, default=0), self.n_ctx_max)

    def limit_context(self, n_ctx: int) -> None:
        """Let no sequence have more positions than this from now on."""
        self.n_ctx_max = n_ctx

    def set_aside(self) -> list[KVOp]:
        """Take everything out of the cache, because it is about to be made anew."""
        return [op for s in self.slots.running for op in self._preempt(s)]

    def resized(self, layout: CacheLayout) -> None:
        """Go on with an empty cache of another shape; ``set_aside`` came before."""
        self._use(layout)

    # A step -------------------------------------------------------------------

    def prepare(self) -> Preparation:
        """Decide who has a slot in the next step."""
        self._granted = self._shares()
        ops: list[KVOp] = []
        num_preempted = 0
        for chosen in (self._short_of_cells, self._in_the_way):
            for sequence in chosen():
                ops += self._preempt(sequence)
                num_preempted += 1
        ops += self._reclaim_for_decodes()
        if num_preempted or not self.slots.running:
            self._is_full = False
        self._held_back = set()
        if self._granted is not None:
            self._held_back = set(self.slots.running).difference(self._active())
        admitted: list[Sequence] = []
        while self.slots.num_free and not self._is_full:
            first = self._queue.first(self._is_ready)
            if first is None:
                break
            more = self._free_cells_for(first)
            if more is None:
                break
            ops += [*more, *self._admit(first)]
            admitted.append(first)
        active_now = self._active()
        ops += self.slots.compact(active_now)
        self._turns.prepare(s.request.adapters for s in active_now)
        adapters = self._turns.current
        self.in_turn = [s for s in active_now if s.request.adapters == adapters]
        return Preparation(ops, admitted, num_preempted)

    def _admit(self, sequence: Sequence) -> list[KVOp]:
        match = Match() if sequence.saved else self.slots.find(sequence)
        if sequence.stored and match.length >= sequence.stored.length:
            sequence.stored = None
        self._queue.take(sequence)
        ops = self.slots.take(sequence, match)
        sequence.status = SequenceStatus.RUNNING
        sequence.waits_for = None
        if sequence.started_at is None:
            sequence.num_cached = min(sequence.num_computed, sequence.num_prompt)
        # Charged now, so that the next to be admitted is of another key.
        self._queue.charge(sequence, prefill=sequence.num_uncomputed)
        return ops

    def _is_ready(self, sequence: Sequence) -> bool:
        """Whether a waiting sequence may start now.

        Not if its key has its share already, and not if a running sequence is
        about to compute a prefix that it can then take over.
        """
        if self._granted is not None:
            key = sequence.request.key
            if self._running_by_key()[key] >= self._granted[key]:
                return False
        if sequence.saved is not None:
            return True
        if sequence.stored is not None and not sequence.stored.is_done:
            return False
        leader = sequence.waits_for
        if leader and leader.is_running and leader.num_computed < sequence.waits_until:
            return leader in self._held_back
        found = self.slots.find(sequence).length
        if sequence.stored is not None:
            found = max(found, sequence.stored.length)
        pending = self.slots.pending(sequence, found)
        if pending is None or pending[0] in self._held_back:
            return True
        sequence.waits_for, sequence.waits_until = pending
        return False

    def _running_by_key(self) -> Counter[str]:
        return Counter(s.request.key for s in self.slots.running)

    def _shares(self) -> dict[str, int] | None:
        """Return how many sequences each key may run, None if there is one key."""
        if self._queue.num_keys < 2:
            self._demands = None
            return None
        alive = Counter(s.request.key for s in self._by_id.values())
        demands = {
            key: Demand(count, self._queue.weight(key)) for key, count in alive.items()
        }
        # What a step takes drifts slowly; who wants something changes at once.
        if demands == self._demands:
            return self._granted
        self._demands = demands
        times = self.times
        return shares(
            demands,
            n_seq_max=self.layout.n_seq_max,
            step_seconds=_seconds(times) if times.knows_batches else None,
        )

    def _in_the_way(self) -> list[Sequence]:
        """Return the youngest of keys beyond their share, if others want the slots."""
        if self._granted is None:
            return []
        running = self._running_by_key()
        waiting = self._queue.waiting_by_key()
        wanted = sum(
            min(waiting[key], max(granted - running[key], 0))
            for key, granted in self._granted.items()
        )
        missing = wanted - self.slots.num_free
        found: list[Sequence] = []
        for sequence in sorted(self.slots.running, key=_youth, reverse=True):
            key = sequence.request.key
            if len(found) < missing and running[key] > self._granted[key]:
                running[key] -= 1
                found.append(sequence)
        return found

    def give_way(self) -> list[KVOp]:
        """Empty all cached prefixes, or else preempt the youngest, unless alone.

        It comes back when another has ended: sooner, it would be in the way again.
        """
        ops = self.slots.reclaim(self.layout.n_cells)
        running = self.slots.running
        if ops or len(running) < 2:
            return ops
        self._is_full = True
        return self._preempt(max(running, key=_youth))

    def _preempt(self, sequence: Sequence) -> list[KVOp]:
        """Take a running sequence's slot; it waits at its old place in the queue.

        Its cells are saved beside the cache, or computed again if those that are
        saved already are too many.
        """
        sequence.status = SequenceStatus.WAITING
        saved = sum(s.num_computed for s in self._queue if s.saved is not None)
        fits = saved + sequence.num_computed <= _SAVED_SHARE * self.layout.n_cells
        ops: list[KVOp] = []
        if sequence.num_computed and fits:
            ops.append(Save(sequence, sequence.slot or 0))
            # Replaced by the cells themselves when the operation is carried out.
            sequence.saved = b""
        else:
            sequence.num_computed = 0
            sequence.prompt_logprobs = ()
        self._queue.put_back(sequence)
        return [*ops, *self.slots.drop(sequence)]

    def _short_of_cells(self) -> list[Sequence]:
        """Return the youngest, as many as must go for the others to have a cell each.

        Cached prefixes go before anything that runs.
        """
        if self.layout.is_split:
            return []
        running = sorted(self.slots.running, key=_youth)
        found: list[Sequence] = []
        while len(running) > 1 and self.slots.free_beside(running) < len(running):
            found.append(running.pop())
        return found

    def _reclaim_for_decodes(self) -> list[KVOp]:
        return self.slots.reclaim(len(self.slots.running))

    def _free_cells_for(self, sequence: Sequence) -> list[KVOp] | None:
        """Return how to make room for a waiting sequence, None if there is none."""
        running = self.slots.running
        promised = sum(s.num_uncomputed for s in running)
        needed = len(sequence.tokens) + promised + _HEADROOM * len(running)
        if not running:
            needed = min(needed, self.layout.n_cells)
        if self.layout.is_split or needed <= self.slots.cells.free:
            return []
        if needed > self.slots.free_beside(running):
            return None
        return self.slots.reclaim(needed)

    def _active(self) -> list[Sequence]:
        """Return the sequences of the next step: not more of a key than its share.

        Of a key beyond its share those are chosen that lie next to the others'
        slots; the rest keeps its cells and waits.
        """
        running = self.slots.running
        if self._granted is None:
            return running
        by_key: dict[str, list[Sequence]] = {}
        for sequence in running:
            by_key.setdefault(sequence.request.key, []).append(sequence)
        active: list[Sequence] = []
        for key in sorted(by_key, key=lambda key: len(by_key[key])):
            members = by_key[key]
            if len(members) > self._granted[key] and active:
                middle = sum(s.slot or 0 for s in active) / len(active)
                members.sort(key=lambda s: abs((s.slot or 0) - middle))
            active += members[: self._granted[key]]
        return active

    def schedule(self, guesses: Mapping[Sequence, list[int]] | None = None) -> StepPlan:
        """Return the next step; changes nothing.

        ``guesses`` are what sequences that decode may say next; they keep to
        ``draft_room``.
        """
        decodes = self._decodes(guesses or {})
        items = list(decodes)
        prefills = [s for s in self.in_turn if not s.is_decoding]
        if not prefills:
            return _plan(items)
        prefills.sort(key=self._order)
        used = sum(len(item.tokens) for item in decodes)
        outputs = self._n_outputs_max - used
        budget = max(min(self._n_batch, self.slots.cells.free) - used, 0)
        depth = prefills[0].num_computed
        chunk = self.times.chunk(used, budget, depth, waiting=len(prefills))
        awaited = self._awaited()
        for sequence in prefills:
            end = awaited.get(sequence.request_id, len(sequence.tokens))
            rest = end - sequence.num_computed
            size = chunk.piece(rest, budget)
            if sequence.params.prompt_logprobs is not None:
                size = min(size, outputs)
            is_crumb = size < min(rest, chunk.least) and len(items) > len(decodes)
            if size <= 0 or outputs <= 0 or is_crumb:
                continue
            item = _item(sequence, size)
            outputs -= item.num_outputs
            budget -= size
            chunk = chunk.without(size)
            items.append(item)
        return _plan(items)

    def _awaited(self) -> dict[str, int]:
        """Return up to where others wait for the tokens of running sequences.

        A prefill halts there: some models' cells can only be copied at their end.
        """
        ends: dict[str, int] = {}
        for sequence in self._queue:
            leader, end = sequence.waits_for, sequence.waits_until
            if leader is not None and leader.num_computed < end:
                name = leader.request_id
                ends[name] = min(end, ends.get(name, end))
        return ends

    def _decodes(self, guesses: Mapping[Sequence, list[int]]) -> list[StepItem]:
        return [
            _item(sequence, size, guesses.get(sequence, ()))
            for sequence, size in self._decode_sizes().items()
        ]

    def _decode_sizes(self) -> dict[Sequence, int]:
        """Return how many tokens of each sequence that decodes go into the step.

        The newest, and before it those that were forced, as far as there is room.
        """
        sequences = [s for s in self.in_turn if s.is_decoding]
        room = min(self._n_batch, self.slots.cells.free) - len(sequences)
        sizes = {}
        for sequence in sequences:
            sizes[sequence] = min(sequence.num_uncomputed, 1 + max(room, 0))
            room -= sizes[sequence] - 1
        return sizes

    def draft_room(self) -> DraftRoom:
        """Return which sequences of the next step may have guesses."""
        sizes = self._decode_sizes()
        tokens = sum(sizes.values())
        total = min(
            self._n_outputs_max - len(sizes),
            self._n_batch - tokens,
            self.slots.cells.free - tokens,
        )
        limits = {
            sequence: self._room_for_draft(sequence)
            for sequence, size in sizes.items()
            if size == sequence.num_uncomputed
        }
        return DraftRoom(tokens, limits, total)

    def _room_for_draft(self, sequence: Sequence) -> int:
        """Return how many guesses may come true before the sequence ends."""
        left = self.layout.n_ctx - len(sequence.tokens)
        limit = sequence.params.max_tokens
        return left if limit is None else min(left, limit - sequence.num_output - 1)

    def _order(self, sequence: Sequence) -> tuple[float, int, int]:
        request = sequence.request
        return self._queue.served(request.key), request.priority, sequence.arrival

    def update(
        self, plan: StepPlan, sampled: Mapping[int, Sampled]
    ) -> tuple[list[Gain], list[KVOp]]:
        """Apply a computed step.

        Returns what its sequences have gained by it, and what must be done to the
        cache. Those that have ended by it are finished and keep their slot until
        ``release``.
        """
        self._turns.count_step()
        gains = []
        ops: list[KVOp] = []
        for item in plan.items:
            sequence = item.sequence
            if sequence.is_finished:
                continue
            result = sampled.get(sequence.slot or 0, _NOTHING)
            self.slots.grow(sequence, len(item.tokens))
            if item.start == 0:
                # If it had lost its cells, all is told anew.
                sequence.prompt_logprobs = ()
            sequence.prompt_logprobs += result.prompt_logprobs
            if result.error is not None:
                sequence.error = result.error
                self.finish(sequence, FinishReason.FAILED)
            if item.samples:
                count = self._append(sequence, result)
                accepted = min(result.num_accepted, count)
                forced = len(result.tokens) - result.num_accepted - 1
                sequence.num_forced = max(forced, 0)
                ops += self._settle_draft(item, accepted)
                logprobs = result.logprobs[:count]
                gains.append(Gain(sequence, count, logprobs, item.num_draft, accepted))
        return gains, ops

    def _settle_draft(self, item: StepItem, accepted: int) -> list[KVOp]:
        """Drop the cells of guesses that were wrong, and learn from them."""
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
        self.slots.cut(sequence, length)
        return [Reuse(sequence, sequence.slot or 0, length)]

    def _append(self, sequence: Sequence, result: Sampled) -> int:
        """Add sampled tokens up to the end of the answer; return how many."""
        limit = sequence.params.max_tokens
        count = 0
        for token in result.tokens:
            # No token at all is asked for, only what the prompt's probabilities are.
            if limit is not None and sequence.num_output >= limit:
                self.finish(sequence, FinishReason.LENGTH)
                return count
            sequence.tokens.append(token)
            count += 1
            self._queue.charge(sequence, output=1)
            self._finish_if_done(sequence, token)
            if sequence.is_finished:
                break
        if result.is_complete and count == len(result.tokens):
            self.finish(sequence, FinishReason.STOP)
        return count

    def _finish_if_done(self, sequence: Sequence, token: int) -> None:
        limit = sequence.params.max_tokens
        if self.ends(sequence, token):
            self.finish(sequence, FinishReason.STOP)
        elif (limit is not None and sequence.num_output >= limit) or len(
            sequence.tokens
        ) >= self.n_ctx_max:
            self.finish(sequence, FinishReason.LENGTH)

    def ends(self, sequence: Sequence, token: int) -> bool:
        """Whether a token ends the sequence's answer, and is no part of its text."""
        return token in sequence.params.stop_token_ids or self._tokenizer.is_end(token)

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


def _item(sequence: Sequence, size: int, draft: Iterable[int] = ()) -> StepItem:
    start = sequence.num_computed
    tokens = [*sequence.tokens[start : start + size], *draft]
    return StepItem(
        sequence=sequence,
        tokens=tokens,
        start=start,
        samples=size == sequence.num_uncomputed,
        num_draft=len(tokens) - size,
        num_forced=size - 1 if sequence.is_decoding else 0,
        tells_prompt=(
            sequence.params.prompt_logprobs is not None
            and start < sequence.num_prompt
            and sequence.first_token_at is None
        ),
    )


def _plan(items: list[StepItem]) -> StepPlan:
    return StepPlan(tuple(sorted(items, key=_slot_of)))


def _slot_of(item: StepItem) -> int:
    return item.sequence.slot or 0


def _youth(sequence: Sequence) -> tuple[int, int]:
    return sequence.request.priority, sequence.arrival


def _seconds(times: StepTimes) -> Callable[[int], float]:
    return lambda count: times.decode_s(count) or 0.0
