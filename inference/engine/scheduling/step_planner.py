"""Plans the batch of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.config.engine_config import PREFILL_CONTEXT_REST
from inference.engine.media.spans import fitted
from inference.engine.scheduling.draft_planner import DraftBudget
from inference.engine.scheduling.fairness.prompt_allowance import PromptAllowance
from inference.engine.step import StepItem, StepPlan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fairness.fair_queue import FairQueue
    from inference.engine.scheduling.fairness.key_shares import KeyShares
    from inference.engine.scheduling.pacing.prefill_room import PrefillRoom
    from inference.engine.scheduling.pacing.step_times import StepTimes
    from inference.engine.scheduling.prefix_waiting import PrefixWaiting
    from inference.engine.sequence import Sequence

#: How many requests that came before it a short next turn of a conversation goes ahead
#: of. What comes later than that goes after them, so no prompt waits for ever.
HEAD_START = 8
#: How many times longer than beside a stream a step may be for the prompts of one key
#: while others may come.
CALM_STEPS = 4


class StepPlanner:
    """Fills a batch: sequences that decode, with their drafts, then prefill.

    As in vLLM, prefill chunks and decodes are the same: tokens that have no KV cell
    yet. A step has at most ``n_batch`` tokens and the logits of ``n_outputs_max``.

    With a ``fixed_piece`` the shape in which a token is computed depends on nothing but
    its place: a step has one piece of one prompt, of that many tokens, or one token of
    each sequence beyond its prompt. llama.cpp's sums are then the same, bit by bit,
    whatever else runs.
    """

    def __init__(
        self,
        queue: FairQueue[Sequence],
        slots: Slots,
        times: StepTimes,
        prefixes: PrefixWaiting,
        shares: KeyShares,
        *,
        n_batch: int,
        n_outputs_max: int,
        fixed_piece: int = 0,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._times = times
        self._prefixes = prefixes
        self._shares = shares
        self._n_batch = n_batch
        self._n_outputs_max = n_outputs_max
        self._fixed_piece = fixed_piece
        self._last_was_prompt = False
        self._allowance = PromptAllowance()

    def draft_budget(self, sequences: Iterable[Sequence]) -> DraftBudget:
        """Return which of the next step's sequences may have drafts."""
        sizes = self._decode_sizes(sequences)
        tokens = sum(sizes.values())
        total = min(
            self._n_outputs_max - len(sizes),
            self._n_batch - tokens,
            self._slots.cells.free - tokens,
        )
        limits = {
            sequence: self._draft_limit(sequence) if self._may_draft(sequence) else 0
            for sequence, size in sizes.items()
            if size == sequence.num_uncomputed
        }
        return DraftBudget(tokens, limits, total)

    def plan(
        self, sequences: list[Sequence], drafts: Mapping[Sequence, list[int]]
    ) -> StepPlan:
        """Return the next step of these sequences.

        ``drafts`` keep to the ``draft_budget``.
        """
        if self._fixed_piece:
            return self._fixed_plan(sequences)
        items = [
            _item(sequence, size, drafts.get(sequence, ()))
            for sequence, size in self._decode_sizes(sequences).items()
        ]
        prefills = [s for s in sequences if not s.is_decoding]
        has_light = any(s.request.share in self._shares.light for s in sequences)
        self._allowance.begin(has_light=has_light)
        if prefills:
            used = sum(len(item.tokens) for item in items)
            items += self._prefills(self._allowed(prefills), used)
        if has_light:
            self._count(items)
        return _plan(items)

    def skip(self) -> None:
        """Note that no step is planned while all light keys are away."""
        self._allowance.begin(has_light=False)

    def _fixed_plan(self, sequences: Iterable[Sequence]) -> StepPlan:
        """Return a step of prompts and a step of answers in turn."""
        prompts: list[Sequence] = []
        answers: list[Sequence] = []
        for sequence in sequences:
            is_prompt = sequence.num_computed < sequence.num_prompt
            (prompts if is_prompt else answers).append(sequence)
        self._last_was_prompt = bool(prompts) and not (
            answers and self._last_was_prompt
        )
        if not self._last_was_prompt:
            return _plan([_item(sequence, 1) for sequence in answers])
        first = min(prompts, key=self._order)
        size = min(self._fixed_piece, first.num_prompt - first.num_computed)
        if first.params.prompt_logprobs is not None:
            size = min(size, self._n_outputs_max)
        size = fitted(first.request.media_spans, first.num_computed, size)
        return _plan([_item(first, size)])

    def _prefills(self, sequences: list[Sequence], used: int) -> list[StepItem]:
        """Distribute what ``used`` tokens leave of the step between prompts, fairly."""
        outputs = self._n_outputs_max - used
        budget = max(min(self._n_batch, self._slots.cells.free) - used, 0)
        room = self._room(sequences, used, budget)
        items: list[StepItem] = []
        awaited = self._prefixes.awaited(self._queue)
        for sequence in sorted(sequences, key=lambda s: self._turn(s, room)):
            end = awaited.get(sequence.request_id, len(sequence.tokens))
            new = len(sequence.tokens) - sequence.num_cached
            size = room.piece(
                end - sequence.num_computed,
                sequence.num_computed,
                is_long=new >= PREFILL_CONTEXT_REST,
            )
            if sequence.params.prompt_logprobs is not None:
                size = min(size, outputs)
            size = fitted(sequence.request.media_spans, sequence.num_computed, size)
            if size <= 0 or outputs <= 0:
                continue
            item = _item(sequence, size)
            outputs -= item.num_outputs
            room = room.without(size, item.start)
            items.append(item)
        return items

    def _room(
        self, sequences: Collection[Sequence], used: int, budget: int
    ) -> PrefillRoom:
        """Return what the step has for the prompts of these sequences.

        Who is expected to ask again, or has less than its share, should not have to
        wait for a long step, and nobody for the whole batch of another key. Several
        prompts of one key make no step longer that others wait for.
        """
        shares, times = self._shares, self._times
        if shares.is_alone or self._queue.is_idle:
            beside = used or shares.num_expected
            return times.room(beside, budget, waiting=len(sequences))
        if shares.num_expected:
            return times.room(used or 1, budget, is_before_others=True)
        keys = {sequence.request.share for sequence in sequences}
        if light := shares.light:
            waiting = min(len(keys & light), CALM_STEPS)
            return times.room(used or 1, budget, waiting=max(waiting, 1))
        if used:
            most = max(len(keys), CALM_STEPS * used)
            return times.room(used, budget, waiting=min(len(sequences), most))
        return times.room(1, budget, waiting=max(len(keys), CALM_STEPS))

    def _allowed(self, prefills: list[Sequence]) -> list[Sequence]:
        """Return the prompts that the step may have beside light keys' sequences."""
        if self._allowance.is_open:
            return prefills
        light = self._shares.light
        return [s for s in prefills if s.request.share in light]

    def _count(self, items: Iterable[StepItem]) -> None:
        """Count what a step takes of light keys' time."""
        light, times = self._shares.light, self._times
        light_s = heavy_s = 0.0
        num_light = num_decodes = 0
        for item in items:
            is_light = item.sequence.request.share in light
            size = len(item.tokens)
            if item.is_decode:
                num_decodes += size
                num_light += size * is_light
            elif is_light:
                light_s += times.piece_s(size, item.start)
            else:
                heavy_s += times.piece_s(size, item.start)
        alone_s = (times.decode_s(num_light) or 0.0) if num_light else 0.0
        all_s = (times.decode_s(num_decodes) or 0.0) if num_decodes else 0.0
        self._allowance.count(light_s + alone_s, heavy_s + all_s - alone_s)

    def _decode_sizes(self, sequences: Iterable[Sequence]) -> dict[Sequence, int]:
        """Return how many tokens of each sequence that decodes are in the step.

        These are the newest, and forced ones before it if there is room.
        """
        decoding = [s for s in sequences if s.is_decoding]
        room = min(self._n_batch, self._slots.cells.free) - len(decoding)
        sizes = {}
        for sequence in decoding:
            sizes[sequence] = min(sequence.num_uncomputed, 1 + max(room, 0))
            room -= sizes[sequence] - 1
        return sizes

    def _may_draft(self, sequence: Sequence) -> bool:
        """Whether no light key, here or due, waits longer for a sequence's drafts."""
        shares = self._shares
        has_light = bool(shares.light or shares.awaited)
        return not has_light or sequence.request.share in shares.light

    def _draft_limit(self, sequence: Sequence) -> int:
        """Return how many drafted tokens can be accepted before the sequence ends."""
        left = self._slots.layout.n_ctx - len(sequence.tokens)
        limit = sequence.params.max_tokens
        return left if limit is None else min(left, limit - sequence.num_output - 1)

    def _order(self, sequence: Sequence) -> tuple[float, int, int]:
        request = sequence.request
        return self._queue.served(request.share), request.priority, sequence.arrival

    def _turn(self, sequence: Sequence, room: PrefillRoom) -> tuple[float, int, int]:
        """Return the place of a prompt, by key; the next turn of a conversation early.

        Most of it is cached, and the step computes the rest: it goes before a longer
        prompt that has come a little earlier.
        """
        served, priority, arrival = self._order(sequence)
        rest = sequence.num_uncomputed
        is_nearly_done = sequence.num_cached >= rest and room.ends(
            rest, sequence.num_computed
        )
        return served, priority, arrival - HEAD_START * is_nearly_done


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
        wants_prompt_logprobs=(
            sequence.params.prompt_logprobs is not None
            and start < sequence.num_prompt
            and sequence.first_token_at is None
        ),
    )


def _plan(items: list[StepItem]) -> StepPlan:
    return StepPlan(tuple(sorted(items, key=lambda item: item.sequence.slot or 0)))
