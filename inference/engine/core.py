"""The engine core: runs a model's sequences in steps of schedule, decode and update."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from inference.engine.context_resizer import ContextResizer
from inference.engine.errors import DecodeError, EngineError
from inference.engine.kv_cache.execution import KVCacheExecutor
from inference.engine.kv_cache.prefix_transfer import DiskPrefixes
from inference.engine.media.spans import words
from inference.engine.output import EngineStats, PrefillProgress, SequenceOutput
from inference.engine.output_processor import OutputProcessor
from inference.engine.scheduling.draft_planner import DraftPlanner
from inference.engine.scheduling.pacing.step_times import StepTimes
from inference.engine.scheduling.pacing.warm_up import warm_up
from inference.engine.scheduling.scheduler import Scheduler
from inference.engine.sequence import Arrival, FinishReason, Sequence
from inference.engine.step import CellsExhausted, StepPlan
from inference.engine.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from inference.engine.backend import Backend
    from inference.engine.prefix_cache.disk_cache import DiskCache
    from inference.engine.request import GenerationRequest
    from inference.engine.scheduling.pacing.measured import Measured
    from inference.engine.scheduling.scheduler import NewTokens
    from inference.engine.step import Sampled


class EngineCore:
    """Runs sequences on one backend. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        backend: Backend,
        *,
        clock: Callable[[], float] = time.perf_counter,
        disk: DiskCache | None = None,
        measured: Measured | None = None,
    ) -> None:
        """``measured`` is what the warm-up of the same model measured before."""
        self._backend = backend
        self._measured = measured
        self._clock = clock
        self.times = StepTimes(
            backend.prefill_tile,
            itl_target_s=backend.itl_target_ms / 1000,
            lead=backend.prefill_lead,
        )
        self.times.has_prefill_context = backend.has_prefill_context
        self.telemetry = Telemetry(
            n_ctx=backend.layout.n_ctx, n_ctx_max=backend.n_ctx_max
        )
        self._scheduler = Scheduler(
            layout=backend.layout,
            n_ctx_max=backend.n_ctx_max,
            n_batch=backend.n_batch,
            n_outputs_max=backend.n_outputs_max,
            tokenizer=backend.tokenizer,
            times=self.times,
            can_cut=backend.can_cut,
            shares_prefixes=backend.shares_prefixes,
            fixed_piece=backend.fixed_piece,
            clock=clock,
        )
        slots = self._scheduler.slots
        self._disk = DiskPrefixes(disk, backend, slots, self.telemetry)
        self._cache = KVCacheExecutor(backend, slots, self._disk, self.telemetry)
        self._context = ContextResizer(
            backend, self._scheduler, self._cache, self.times, self.telemetry
        )
        self._drafts = DraftPlanner(
            self.times,
            can_draft=backend.can_draft and not backend.fixed_piece,
            max_lookups=backend.max_lookup_sequences,
            drafter=backend.drafter,
            is_split=backend.layout.is_split,
        )
        self._outputs = OutputProcessor(backend.tokenizer, self.telemetry, clock)
        #: For how long the next step is to wait for a request.
        self.wait_s = 0.0
        self._arrivals = count()
        self._requests_total = 0
        self._prompt_tokens_total = 0
        self._output_tokens_total = 0

    @property
    def has_work(self) -> bool:
        """Whether a step has something to compute."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    def add(self, request: GenerationRequest, arrival: Arrival | None = None) -> None:
        """Queue a request that ``check_request`` has accepted.

        It comes now, or had an ``arrival`` since which a step may have run.
        """
        arrival = arrival or Arrival(self._clock())
        sequence = Sequence(
            request=request,
            tokens=[*request.prompt_token_ids, *request.resume],
            detokenizer=self._outputs.detokenizer(request),
            arrival=next(self._arrivals),
            queued_at=arrival.at,
            num_behind=arrival.num_behind,
            lookup=self._drafts.lookup_for(request),
        )
        sequence.stored = self._disk.look_up(sequence)
        self._scheduler.add(sequence)
        self._requests_total += 1

    def abort(self, request_ids: Iterable[str]) -> None:
        """Abort these requests before the next step, without an output."""
        if self._scheduler.abort(request_ids):
            self._release()

    # A step -------------------------------------------------------------------

    def step(self) -> list[SequenceOutput]:
        """Run one step (schedule, decode, update); return its outputs.

        A step in which sequences start, or end for lack of memory, returns only that.
        Nothing is computed if a step would hold up somebody who is about to ask;
        ``wait_s`` says for how long.
        """
        self.wait_s = 0.0
        outputs = [*self._fit_context(), *self._start_sequences()]
        if outputs:
            # Returned before the decode, which takes a while and may crash the process.
            return outputs
        self.wait_s = self._scheduler.wait_s()
        self.telemetry.waited(self._scheduler.waited_s)
        if self.wait_s:
            return []
        try:
            plan = self._schedule()
        except DecodeError as error:
            return self._fail(self._scheduler.draft_budget().limits, error)
        if not plan.items:
            # Waiting sequences may wait for their prefix from disk.
            self._disk.wait()
            return []
        for batch in plan.even() if self._backend.needs_even_batches else [plan]:
            try:
                sampled = self._decode(batch)
            except CellsExhausted as error:
                # Slots counted more free cells than llama.cpp finds.
                if not error.done:
                    return outputs + self._make_room(batch)
                return outputs + self._update(StepPlan(error.done), error.sampled)
            except DecodeError as error:
                outputs += self._fail((i.sequence for i in batch.items), error)
            else:
                outputs += self._update(batch, sampled)
        return outputs

    def _fit_context(self) -> list[SequenceOutput]:
        """Grow the context until it is long enough for every sequence."""
        return self._end(self._context.fit())

    def _start_sequences(self) -> list[SequenceOutput]:
        """Give slots to waiting sequences, and preempt others."""
        changes = self._scheduler.assign_slots()
        self._cache.apply(changes.operations)
        for _ in range(changes.num_preempted):
            self.telemetry.preempted()
        # A preempted sequence that comes back has its sampler already.
        new = [s for s in changes.admitted if s.started_at is None]
        for sequence in new:
            sequence.started_at = self._clock()
            self._backend.open(
                sequence.request_id,
                sequence.params,
                prompt=words(sequence.request.prompt_token_ids),
                output=sequence.output,
            )
            self.telemetry.started(
                queued_s=sequence.started_at - sequence.queued_at,
                prompt_tokens=sequence.num_prompt,
                cached_tokens=sequence.num_cached,
            )
            if sequence.request.counts_prompt:
                self._prompt_tokens_total += sequence.num_prompt
            self.telemetry.prefix_lookup(
                queried=sequence.num_prompt, hit=sequence.num_cached
            )
        return [self._outputs.started(sequence) for sequence in new]

    def _schedule(self) -> StepPlan:
        """Return the plan of the step. Raises DecodeError of the draft model."""
        drafts: dict[Sequence, list[int]] = {}
        if self._drafts.may_draft(self._scheduler.runnable):
            drafts = self._drafts.drafts(self._scheduler.draft_budget())
        return self._scheduler.schedule(drafts)

    def _decode(self, plan: StepPlan) -> Mapping[int, Sampled]:
        """Decode the batch and sample; record the time that it takes."""
        start = self._clock()
        sampled = self._backend.decode(plan)
        seconds = self._clock() - start
        if not self._is_uneven(plan):
            self.times.observe(
                plan.num_decode_tokens, plan.prefills, seconds, depth=plan.decode_depth
            )
        self.telemetry.step(
            seconds=seconds,
            num_decodes=plan.num_decodes,
            num_prefill=len(plan.items) - plan.num_decodes,
            batch_tokens=plan.num_tokens,
        )
        return sampled

    def _is_uneven(self, plan: StepPlan) -> bool:
        """Whether drafts split the decodes into micro-batches (see draft_lengths)."""
        has_drafts = plan.num_decode_tokens > plan.num_decodes
        if not (has_drafts and self._backend.layout.is_split):
            return False
        return len({len(item.tokens) for item in plan.decodes}) > 1

    def _update(
        self, plan: StepPlan, sampled: Mapping[int, Sampled]
    ) -> list[SequenceOutput]:
        """Append the sampled tokens; return the outputs, and release what has ended."""
        new_tokens, ops = self._scheduler.update(plan, sampled)
        self._cache.apply(ops)
        outputs = [self._output(new) for new in new_tokens]
        if any(output.finish_reason is not None for output in outputs):
            self._release()
        return outputs

    def _output(self, new: NewTokens) -> SequenceOutput:
        if new.num_draft:
            self.telemetry.drafted(new.num_draft, new.num_accepted)
        self._output_tokens_total += new.count
        return self._outputs.process(new)

    def _make_room(self, plan: StepPlan) -> list[SequenceOutput]:
        """Free cells by eviction or preemption; fail what exceeds the whole cache."""
        ops = self._scheduler.give_way()
        if not ops:
            error = DecodeError("llama.cpp finds no KV cells for this sequence alone.")
            return self._fail((item.sequence for item in plan.items), error)
        self._cache.apply(ops)
        return []

    def _fail(
        self, sequences: Iterable[Sequence], error: EngineError
    ) -> list[SequenceOutput]:
        """End sequences that cannot be computed."""
        failed = list(sequences)
        for sequence in failed:
            sequence.fail(error)
        return self._end(failed)

    def _end(self, finished: list[Sequence]) -> list[SequenceOutput]:
        """Return the last outputs of finished sequences, and release them."""
        outputs = [self._outputs.ended(sequence) for sequence in finished]
        if outputs:
            self._release()
        return outputs

    def _release(self) -> None:
        """Forget finished sequences."""
        ended, ops = self._scheduler.release()
        self._cache.apply(ops)
        now = self._clock()
        for sequence in ended:
            self._backend.close_sequence(sequence.request_id)
            self.telemetry.finished(
                reason=sequence.finish_reason or FinishReason.FAILED,
                e2e_s=now - sequence.queued_at,
                decode_s=sequence.decode_s,
                prompt_tokens=sequence.num_prompt,
                output_tokens=sequence.num_output - len(sequence.request.resume),
                max_tokens=sequence.params.max_tokens,
            )

    # Between the steps --------------------------------------------------------

    def warm_up(self) -> Measured:
        """Measure step times and load the weights into memory; return the former.

        Where they are known from before, nothing is computed, unless a draft model has
        to be measured as well.
        """
        measured = self._measured
        if measured is None or self._backend.drafter is not None:
            measured = replace(
                warm_up(self._backend, self._clock),
                prefills_apart=self._backend.has_prefill_context,
            )
        self.times.learn(measured)
        return measured

    def tidy(self) -> float | None:
        """Do some background work; return the seconds after which to call again.

        Returns None if nothing is left to do until the next request.
        """
        return self._disk.store_one()

    def rest(self) -> None:
        """Shrink a context that had grown; to be called after a while idle."""
        self._context.rest()

    def stats(self) -> EngineStats:
        """Return the engine's state and totals."""
        slots = self._scheduler.slots
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            kv_cells_used=slots.cells.used,
            kv_cells_total=slots.cells.total,
            n_ctx=slots.layout.n_ctx,
            n_ctx_max=self._scheduler.n_ctx_max,
            requests_total=self._requests_total,
            prompt_tokens_total=self._prompt_tokens_total,
            output_tokens_total=self._output_tokens_total,
            prefills=tuple(
                PrefillProgress(each.request_id, each.num_computed, each.num_prompt)
                for each in slots.running
                if not each.num_output
            ),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless slots, cells and the real cache agree."""
        self._scheduler.check_integrity()
        self._cache.check_integrity()

    def close(self) -> None:
        """Free the backend. Idempotent."""
        self._disk.close()
        self._backend.close()
