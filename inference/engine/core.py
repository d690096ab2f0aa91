"""The engine: a step is schedule, decode, update."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

from inference.engine.cache_layout import grown
from inference.engine.errors import (
    CellsExhausted,
    ContextExceeded,
    DecodeError,
    EngineError,
    InvalidRequest,
    ModelLoadError,
)
from inference.engine.kv_cache.operations import (
    Clear,
    Evict,
    Fork,
    KVOp,
    Load,
    Move,
    Restore,
    Reuse,
    Save,
)
from inference.engine.output import EngineStats, SequenceOutput
from inference.engine.sampling.detokenizer import Detokenizer
from inference.engine.scheduling.drafting import Drafting
from inference.engine.scheduling.scheduler import Gain, Scheduler
from inference.engine.scheduling.step_times import StepTimes
from inference.engine.scheduling.warm_up import warm_up
from inference.engine.sequence import FinishReason, Sequence
from inference.engine.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Sequence as Tokens

    from inference.engine.backend import Backend
    from inference.engine.cache_layout import CacheLayout
    from inference.engine.prefix_cache.disk_cache import DiskCache, StoredPrefix
    from inference.engine.prefix_cache.scope import PrefixScope
    from inference.engine.request import GenerationRequest
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.step import StepPlan

#: How long a step that has nothing else to do waits for a prefix from disk.
_READ_WAIT_S = 0.01
#: How soon to look again whether a prefix is written, to write the next one.
_WRITE_WAIT_S = 0.05


class EngineCore:
    """Runs sequences on one backend. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        backend: Backend,
        *,
        clock: Callable[[], float] = time.perf_counter,
        disk: DiskCache | None = None,
    ) -> None:
        self._backend = backend
        self._tokenizer = backend.tokenizer
        self._clock = clock
        self._base = backend.layout
        self._disk = disk
        for slot in range(backend.layout.n_seq_max):
            backend.clear(slot)
        self._scheduler = Scheduler(
            layout=backend.layout,
            n_ctx_max=backend.n_ctx_max,
            n_batch=backend.n_batch,
            n_outputs_max=backend.n_outputs_max,
            tokenizer=backend.tokenizer,
            can_cut=backend.can_cut,
            shares_prefixes=backend.shares_prefixes,
            times=StepTimes(backend.prefill_tile),
        )
        self.times = self._scheduler.times
        self.times.has_stage = backend.has_stage
        self._drafting = Drafting(
            self.times,
            can_draft=backend.can_draft,
            max_lookups=backend.max_lookup_sequences,
            drafter=backend.drafter,
            is_split=backend.layout.is_split,
        )
        self.telemetry = Telemetry(
            n_ctx=backend.layout.n_ctx, n_ctx_max=backend.n_ctx_max
        )
        self._arrivals = count()
        self._requests_total = 0
        self._prompt_tokens_total = 0
        self._output_tokens_total = 0
        #: Why the context could not be made longer, if that was tried.
        self._shortage = ""

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    def add(self, request: GenerationRequest) -> None:
        """Queue a sequence; ``check_request`` has been asked before."""
        params = request.params
        detokenizer = Detokenizer(
            params.stop,
            min_tokens=params.min_tokens,
            includes_stop=params.include_stop_str_in_output,
        )
        for token in request.resume:
            detokenizer.push(self._piece(params, token))
        sequence = Sequence(
            request=request,
            tokens=[*request.prompt_token_ids, *request.resume],
            detokenizer=detokenizer,
            arrival=next(self._arrivals),
            queued_at=self._clock(),
            lookup=self._drafting.lookup_for(request),
        )
        sequence.stored = self._look_on_disk(sequence)
        self._scheduler.add(sequence)
        self._requests_total += 1

    def abort(self, request_ids: Iterable[str]) -> None:
        """End these requests before the next step; no output comes of it."""
        if self._scheduler.abort(request_ids):
            self._release()

    # A step -------------------------------------------------------------------

    def step(self) -> list[SequenceOutput]:
        """Compute one step; return what every sequence in it gained.

        A step in which sequences start, or fail, only says so.
        """
        outputs = self._fit_context()
        preparation = self._scheduler.prepare()
        self._apply(preparation.ops)
        for _ in range(preparation.num_preempted):
            self.telemetry.preempted()
        outputs += self._start(preparation.admitted)
        if outputs:
            # Told before the decode, which takes a while, or the process with it.
            return outputs
        guesses: dict[Sequence, list[int]] = {}
        if self._drafting.may_guess(self._scheduler.in_turn):
            room = self._scheduler.draft_room()
            try:
                guesses = self._drafting.guesses(room)
            except DecodeError as error:
                return self._fail(room.limits, error)
        plan = self._scheduler.schedule(guesses)
        if not plan.items:
            if self._disk is not None:
                # Nothing else is to be done than to wait for it.
                self._disk.wait(_READ_WAIT_S)
            return outputs
        for part in plan.even() if self._backend.needs_even_batches else [plan]:
            try:
                outputs += self._compute(part)
            except CellsExhausted:
                # The books said otherwise: the real cache has other cells. Make room.
                return outputs + self._give_way(part)
            except DecodeError as error:
                outputs += self._fail((i.sequence for i in part.items), error)
        return outputs

    def _compute(self, plan: StepPlan) -> list[SequenceOutput]:
        """Decode a plan and apply what comes of it."""
        start = self._clock()
        sampled = self._backend.decode(plan)
        self._account(plan, self._clock() - start)
        gains, ops = self._scheduler.update(plan, sampled)
        self._apply(ops)
        for gain in gains:
            if gain.num_draft:
                self.telemetry.drafted(gain.num_draft, gain.num_accepted)
        outputs = list(map(self._output, gains))
        if any(output.finish_reason is not None for output in outputs):
            self._release()
        return outputs

    def _start(self, admitted: list[Sequence]) -> list[SequenceOutput]:
        """Give sequences that got a slot what they need besides."""
        outputs = []
        for sequence in admitted:
            if sequence.started_at is not None:
                continue
            sequence.started_at = self._clock()
            self._backend.open(
                sequence.request_id,
                sequence.params,
                prompt=sequence.request.prompt_token_ids,
                output=sequence.output,
            )
            self.telemetry.started(
                queued_s=sequence.started_at - sequence.queued_at,
                prompt_tokens=sequence.num_prompt,
                cached_tokens=sequence.num_cached,
            )
            self.telemetry.prefix_lookup(
                queried=sequence.num_prompt, hit=sequence.num_cached
            )
            outputs.append(_about(sequence, is_start=True))
        return outputs

    def _account(self, plan: StepPlan, seconds: float) -> None:
        decodes = plan.num_decodes
        prefill = plan.num_tokens - plan.num_decode_tokens
        if not self._is_uneven(plan):
            self.times.observe(plan.num_decode_tokens, plan.prefills, seconds)
        self._prompt_tokens_total += prefill
        self.telemetry.step(
            seconds=seconds,
            num_decodes=decodes,
            num_prefill=len(plan.items) - decodes,
            batch_tokens=plan.num_tokens,
        )

    def _is_uneven(self, plan: StepPlan) -> bool:
        """Whether drafts make several micro-batches of the decodes (draft_lengths)."""
        has_drafts = plan.num_decode_tokens > plan.num_decodes
        if not (has_drafts and self._base.is_split):
            return False
        return len({len(item.tokens) for item in plan.decodes}) > 1

    def _output(self, gain: Gain) -> SequenceOutput:
        """Return what the newest tokens of a sequence add."""
        sequence = gain.sequence
        tokens = sequence.tokens[len(sequence.tokens) - gain.count :]
        text = self._text(sequence, tokens)
        more: dict[str, Any] = {}
        if sequence.prompt_logprobs:
            more["prompt_logprobs"] = sequence.prompt_logprobs
            sequence.prompt_logprobs = ()
        if sequence.error is not None:
            more |= {"error": sequence.error.message, "code": sequence.error.code}
        if tokens:
            self._output_tokens_total += len(tokens)
            self._time(sequence, len(tokens))
        return _about(
            sequence, tokens=tuple(tokens), text=text, logprobs=gain.logprobs, **more
        )

    def _text(self, sequence: Sequence, tokens: list[int]) -> str:
        """Return the text that became certain; a stop string ends the sequence."""
        detokenizer = sequence.detokenizer
        params = sequence.params
        if tokens and self._scheduler.ends(sequence, tokens[-1]):
            # The token that ends an answer is no part of its text, unless it is asked
            # for, or a control token that the request wants to see.
            is_asked_for = params.include_stop_str_in_output
            if not is_asked_for and not self._is_visible(params, tokens[-1]):
                tokens = tokens[:-1]
        text = ""
        for token in tokens:
            text += detokenizer.push(self._piece(params, token))
            if detokenizer.is_stopped:
                self._scheduler.finish(sequence, FinishReason.STOP)
                break
        if sequence.is_finished:
            text += detokenizer.flush()
        return text

    def _piece(self, params: SamplingParams, token: int) -> bytes:
        """Return the bytes of a token; a visible control token's are its name."""
        is_visible = self._is_visible(params, token)
        tokenizer = self._tokenizer
        return tokenizer.spelling(token) if is_visible else tokenizer.piece(token)

    def _is_visible(self, params: SamplingParams, token: int) -> bool:
        """Whether it is a control token that the request wants to see."""
        if not params.control_tokens or self._tokenizer.piece(token):
            return False
        name = self._tokenizer.spelling(token).decode("utf-8", "replace")
        return name in params.control_tokens

    def _time(self, sequence: Sequence, count: int) -> None:
        now = self._clock()
        if sequence.last_token_at is None:
            sequence.first_token_at = now
            started_at = sequence.started_at
            self.telemetry.first_token(
                ttft_s=now - sequence.queued_at,
                prefill_s=now - started_at if started_at is not None else 0.0,
            )
        else:
            self.telemetry.token_gap(now - sequence.last_token_at, count)
        sequence.last_token_at = now

    def _fail(
        self, sequences: Iterable[Sequence], error: EngineError
    ) -> list[SequenceOutput]:
        """End sequences that cannot be computed."""
        outputs = []
        for sequence in sequences:
            self._scheduler.finish(sequence, FinishReason.FAILED)
            outputs.append(_about(sequence, error=error.message, code=error.code))
        self._release()
        return outputs

    def _give_way(self, plan: StepPlan) -> list[SequenceOutput]:
        """Empty a part of the cache; what cannot run in all of it fails."""
        ops = self._scheduler.give_way()
        if not ops:
            error = DecodeError("llama.cpp finds no KV cells for this sequence alone.")
            return self._fail((item.sequence for item in plan.items), error)
        self._apply(ops)
        return []

    def _release(self) -> None:
        ended, ops = self._scheduler.release()
        self._apply(ops)
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

    # The KV cache -------------------------------------------------------------

    def _apply(self, ops: Iterable[KVOp]) -> None:
        """Do to the real cache what the scheduler's books say, in order.

        Where the cache says no, it is believed: the sequence is computed anew.
        """
        backend, slots = self._backend, self._scheduler.slots
        for op in ops:
            match op:
                case Clear(slot):
                    backend.clear(slot)
                case Evict(slot, cells, tokens, scope):
                    self._to_disk(slot, tokens, scope)
                    backend.clear(slot)
                    self.telemetry.evicted(cells)
                case Move(source, target):
                    backend.move(source, target)
                case Reuse(sequence, slot, length):
                    if not backend.keep(slot, length):
                        slots.forget(sequence)
                case Fork(sequence, source, slot, length):
                    # The source may itself have lost its cells a moment ago.
                    is_there = backend.length(source) >= length
                    if not is_there or not backend.fork(source, slot, length):
                        slots.forget(sequence)
                case Load(sequence, slot, length):
                    if not self._load(sequence, slot, length):
                        slots.forget(sequence)
                case Save(sequence, slot):
                    sequence.saved = backend.save(slot)
                case Restore(sequence, slot):
                    state, sequence.saved = sequence.saved or b"", None
                    if not backend.restore(slot, state):
                        slots.forget(sequence)

    # Prefixes on disk ---------------------------------------------------------

    def _look_on_disk(self, sequence: Sequence) -> StoredPrefix | None:
        """Begin to read what there is of a sequence, if it is more than in memory."""
        if self._disk is None or sequence.params.prompt_logprobs is not None:
            return None
        slots = self._scheduler.slots
        return self._disk.look_up(
            sequence.tokens,
            slots.scope(sequence),
            self._scheduler.layout,
            beyond=slots.find(sequence).length,
        )

    def _load(self, sequence: Sequence, slot: int, length: int) -> bool:
        """Fill an empty slot with a prefix from disk; False, with it empty, if not."""
        stored, sequence.stored = sequence.stored, None
        state = stored.state if stored is not None else b""
        if not state or not self._backend.restore(slot, state):
            return False
        if self._backend.length(slot) < length:
            self._backend.clear(slot)
            return False
        if not self._backend.keep(slot, length):
            return False
        self.telemetry.prefix_loaded(tokens=length, size=len(state))
        return True

    def _to_disk(
        self,
        slot: int,
        tokens: Tokens[int],
        scope: PrefixScope,
        *,
        is_idle: bool = False,
    ) -> bool:
        """Have a cached prefix written, if it is worth it; return whether it is."""
        if self._disk is None:
            return False
        layout = self._scheduler.layout
        size = self._disk.offer(
            tokens,
            scope,
            layout,
            lambda: self._backend.save(slot),
            is_idle=is_idle,
        )
        if size:
            self.telemetry.prefix_stored(size)
        return bool(size)

    def tidy(self) -> float | None:
        """Do a piece of what can wait; return in how many seconds to come again.

        None if there is nothing to do until the next request.
        """
        if self._disk is None:
            return None
        if self._disk.is_writing or any(
            self._to_disk(*each, is_idle=True)
            for each in self._scheduler.slots.cached()
        ):
            return _WRITE_WAIT_S
        return None

    def _fit_context(self) -> list[SequenceOutput]:
        """Make the cache larger if a sequence needs a longer context than it has.

        What runs is set aside and comes back. If there is no memory, the context
        stays as it is, until the engine rests.
        """
        needed = self._scheduler.context_needed()
        layout = self._scheduler.layout
        if needed > layout.n_ctx:
            larger = grown(
                layout,
                needed,
                n_ctx_max=self._backend.n_ctx_max,
                n_cells_max=self._backend.n_cells_max,
            )
            try:
                self._resize(larger)
            except ModelLoadError as error:
                self._scheduler.limit_context(layout.n_ctx)
                self._shortage = error.message
        return self._end_too_long() if self._shortage else []

    def _end_too_long(self) -> list[SequenceOutput]:
        """End what would need a longer context than there is memory for."""
        limit = self._scheduler.n_ctx_max
        outputs = []
        for sequence in self._scheduler.unfinished():
            if len(sequence.tokens) < limit:
                continue
            if sequence.num_output:
                self._scheduler.finish(sequence, FinishReason.LENGTH)
                outputs.append(_about(sequence, text=sequence.detokenizer.flush()))
                continue
            error = ContextExceeded(
                f"This model's maximum context length is {limit} tokens, but the "
                f"prompt has {sequence.num_prompt} tokens, and there is no memory for "
                f"a longer context: {self._shortage}"
            )
            outputs += self._fail([sequence], error)
        if outputs:
            self._release()
        return outputs

    def rest(self) -> None:
        """Give back what a longer context took; to be called after a while idle."""
        if self._shortage:
            self._shortage = ""
            self._scheduler.limit_context(self._backend.n_ctx_max)
        if not self.has_work and self._scheduler.layout != self._base:
            self._resize(self._base)

    def _resize(self, layout: CacheLayout) -> None:
        self._apply(self._scheduler.set_aside())
        try:
            self._backend.resize(layout)
        finally:
            self._scheduler.resized(self._backend.layout)
        self.times.has_stage = self._backend.has_stage
        self.telemetry.context_resized(layout.n_ctx)

    def warm_up(self) -> None:
        """Learn what steps take here, and bring the weights into memory."""
        warm_up(self._backend, self.times, self._clock)

    def stats(self) -> EngineStats:
        """Return the state and the totals."""
        cells = self._scheduler.slots.cells
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            kv_cells_used=cells.used,
            kv_cells_total=cells.total,
            n_ctx=self._scheduler.layout.n_ctx,
            n_ctx_max=self._scheduler.n_ctx_max,
            requests_total=self._requests_total,
            prompt_tokens_total=self._prompt_tokens_total,
            output_tokens_total=self._output_tokens_total,
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless the books balance, and agree with the cache."""
        self._scheduler.check_integrity()
        for slot, length in self._scheduler.slots.held().items():
            real = self._backend.length(slot)
            if real != length:
                raise AssertionError(f"slot {slot} has {real} cells, not {length}")

    def close(self) -> None:
        """Free the backend. Idempotent."""
        if self._disk is not None:
            self._disk.close()
        self._backend.close()


def _about(sequence: Sequence, **more: Any) -> SequenceOutput:
    return SequenceOutput(
        request_id=sequence.request_id,
        num_prompt=sequence.num_prompt,
        num_output=sequence.num_output,
        num_cached=sequence.num_cached,
        num_drafted=sequence.num_drafted,
        num_accepted=sequence.num_accepted,
        finish_reason=sequence.finish_reason,
        **more,
    )


def check_request(
    *,
    prompt: list[int],
    params: SamplingParams,
    n_ctx: int,
    n_vocab: int,
    resume: tuple[int, ...] = (),
) -> None:
    """Raise InvalidRequest if the request can never run on this model.

    ``n_ctx`` is the most positions that a sequence may get. Pure, so that it can
    be asked on any thread before the request is queued.
    """
    if not prompt:
        raise InvalidRequest("The prompt has no tokens.", param="prompt")
    if len(prompt) + len(resume) >= n_ctx:
        so_far = f" and {len(resume)} tokens of the answer so far" if resume else ""
        raise ContextExceeded(
            f"This model's maximum context length is {n_ctx} tokens, but the prompt "
            f"has {len(prompt)} tokens{so_far}, which leaves no room for an answer. "
            "Shorten the prompt.",
            param="prompt",
        )
    for token in prompt:
        if not 0 <= token < n_vocab:
            raise InvalidRequest(
                f"The prompt has the token id {token}; this model's are 0 to "
                f"{n_vocab - 1}.",
                param="prompt",
            )
    params.check_tokens(n_vocab)
