"""A loaded model and its context, step by step."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.context_size import first_layout
from inference.engine.errors import (
    CellsExhausted,
    DecodeError,
    EngineError,
    ModelLoadError,
)
from inference.engine.llama.loading import load_model, make_context
from inference.engine.llama.log import LlamaLog
from inference.engine.llama.sampling import SequenceSampler, prepare
from inference.engine.llama.tokenizer import LlamaTokenizer
from inference.engine.plan import Sampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.config import EngineConfig
    from inference.engine.plan import StepItem, StepPlan
    from inference.engine.probabilities import TokenLogprobs
    from inference.engine.sampling_params import SamplingParams
    from inference.engine.slots import Layout

#: What llama_decode returns if it finds no cells; the context is as it was.
_NO_CELLS = 1


class LlamaBackend:
    """A model and its context, with a KV cache of slots and a sampler per sequence.

    In a split cache a sequence attends over its own cells only, and a batch of
    sequences is one micro-batch as long as slots ascend without gaps.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        on_progress: Callable[[float], None] = lambda _progress: None,
        log: LlamaLog | None = None,
    ) -> None:
        """Load the model; ``on_progress`` gets 0 to 1. Raises ModelLoadError."""
        self._config = config
        self._log = log or LlamaLog()
        self._log.install()
        self._samplers: dict[str, SequenceSampler] = {}
        self._saved: tuple[int, bytes] | None = None
        self.layout = first_layout(config)
        self.n_cells_max = max(config.n_cells_max, self.layout.n_cells)
        self.n_ctx_max = config.n_ctx_max or config.n_ctx
        if not self.layout.is_split:
            self.n_ctx_max = min(self.n_ctx_max, self.n_cells_max)
        self.n_batch = config.n_batch
        self.n_outputs_max = config.n_outputs_max
        self.shares_prefixes = config.shares_prefixes
        with ExitStack() as stack:
            llama_cpp.llama_backend_init()
            self._model = load_model(config, on_progress, self._log)
            stack.callback(llama_cpp.llama_model_free, self._model)
            # More tokens than n_batch never come: the scheduler's budget.
            self._batch = llama_cpp.llama_batch_init(config.n_batch, 0, 1)
            stack.callback(llama_cpp.llama_batch_free, self._batch)
            self._use(make_context(self._model, config, self.layout, self._log))
            stack.callback(self._free_context)
            stack.callback(self._free_samplers)
            self._owned = stack.pop_all()
        self.tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(self._model))
        self._owned.callback(self.tokenizer.close)
        self.can_cut = not (
            llama_cpp.llama_model_is_recurrent(self._model)
            or llama_cpp.llama_model_is_hybrid(self._model)
        )
        self._n_swa: int = llama_cpp.llama_model_n_swa(self._model)
        # Of a batch that takes several micro-batches llama.cpp rehearses where the
        # tokens go, and does not bring back the cells of a sliding window that
        # later micro-batches free, but earlier ones still see. So it gets batches
        # that are one micro-batch, or several of different sequences.
        self.needs_even_batches = self._n_swa > 0
        if self.needs_even_batches:
            self.n_batch = min(config.n_batch, config.n_ubatch)
        # A sliding window has moved on when a draft turns out wrong.
        can_draft = self.can_cut and not self._n_swa
        self.drafts_by_lookup = can_draft and config.draft == "lookup"

    # The context --------------------------------------------------------------

    def resize(self, layout: Layout) -> None:
        """Make the KV cache anew, empty, in another shape; the weights stay.

        Raises ModelLoadError if there is no memory for it; then the cache is as
        it was, but empty. Raises EngineError if not even that can be had: nothing
        can be computed any more.
        """
        self._free_context()
        try:
            context = make_context(self._model, self._config, layout, self._log)
        except ModelLoadError:
            self._use(self._make_again())
            raise
        self.layout = layout
        self._use(context)

    def _make_again(self) -> Any:
        try:
            return make_context(self._model, self._config, self.layout, self._log)
        except ModelLoadError as error:
            raise EngineError(f"The context is lost: {error.message}") from error

    def _use(self, context: Any) -> None:
        self._context = context
        self._memory = llama_cpp.llama_get_memory(context)

    def _free_context(self) -> None:
        self._saved = None
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        self._context = None

    # KV cells -----------------------------------------------------------------

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self._saved = None
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` cells of a slot; False if that leaves nothing.

        Recurrent states cannot go back, and a sliding window may have moved past
        what the next token needs to see: llama.cpp says so, or the oldest position
        that is left does.
        """
        self._saved = None
        memory = self._memory
        if llama_cpp.llama_memory_seq_rm(memory, slot, length, -1):
            oldest_needed = max(0, length - self._n_swa) if self._n_swa else 0
            first = llama_cpp.llama_memory_seq_pos_min(memory, slot)
            is_whole = not self.can_cut or first <= oldest_needed
            if is_whole and self.length(slot) == length:
                return True
        self.clear(slot)
        return False

    def fork(self, source: int, target: int, length: int) -> bool:
        """Give an empty slot the first ``length`` cells of another; False if not.

        Across the streams of a split cache llama.cpp copies whole streams, used or
        not; a saved sequence has only what is used, and is saved once for many.
        """
        if not self.layout.is_split:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)
            return self.keep(target, length)
        if self._saved is None or self._saved[0] != source:
            self._saved = (source, self.save(source))
        saved = self._saved
        done = self.restore(target, saved[1]) and self.keep(target, length)
        self._saved = saved
        return done

    def move(self, source: int, target: int) -> None:
        """Bring all cells of a slot to an empty one. Raises DecodeError."""
        if not self.restore(target, self.save(source)):
            raise DecodeError("llama.cpp cannot move a sequence. " + self._log.tail())
        self.clear(source)

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells."""
        size = llama_cpp.llama_state_seq_get_size(self._context, slot)
        buffer = (ctypes.c_uint8 * size)()
        used = llama_cpp.llama_state_seq_get_data(self._context, buffer, size, slot)
        return memoryview(buffer)[:used].tobytes()

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot with saved cells; False, with it empty, if it fails."""
        self._saved = None
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if llama_cpp.llama_state_seq_set_data(self._context, buffer, len(state), slot):
            return True
        self.clear(slot)
        return False

    def length(self, slot: int) -> int:
        """Return how many positions the slot really has."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, slot)) + 1

    # Sequences ----------------------------------------------------------------

    def prepare(self, params: SamplingParams) -> None:
        """Do ahead what takes long in making a sampler. On any thread.

        Raises InvalidRequest if there can be none.
        """
        prepare(params, tokenizer=self.tokenizer, n_ctx=self.n_ctx_max)

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        """Give a sequence a sampler that has seen its ``output`` so far."""
        self._samplers[request_id] = SequenceSampler(
            params,
            tokenizer=self.tokenizer,
            n_ctx=self.n_ctx_max,
            prompt=prompt,
            output=output,
        )

    def close_sequence(self, request_id: str) -> None:
        """Free a sequence's sampler. Idempotent."""
        sampler = self._samplers.pop(request_id, None)
        if sampler is not None:
            sampler.close()

    def _free_samplers(self) -> None:
        while self._samplers:
            self._samplers.popitem()[1].close()

    # A step -------------------------------------------------------------------

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        """Compute a step; return what each slot gained whose logits it needed.

        Raises CellsExhausted, with nothing changed, or DecodeError; then the KV
        cells of the plan's slots are undefined.
        """
        self._saved = None
        ends = self._fill(plan)
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            kind = CellsExhausted if code == _NO_CELLS else DecodeError
            raise kind(
                f"llama_decode returned {code} for {plan.num_tokens} tokens. "
                + self._log.tail()
            )
        return {
            item.sequence.slot or 0: self._sample(item, end)
            for item, end in zip(plan.items, ends, strict=True)
            if item.num_outputs
        }

    def _fill(self, plan: StepPlan) -> list[int]:
        """Write the plan into the batch; return where in it each item ends."""
        batch = self._batch
        tokens, positions, outputs = batch.token, batch.pos, batch.logits
        slots, slot_counts = batch.seq_id, batch.n_seq_id
        index = 0
        ends = []
        for item in plan.items:
            slot = item.sequence.slot or 0
            first_output = len(item.tokens) - item.num_outputs
            for offset, token in enumerate(item.tokens):
                tokens[index] = token
                positions[index] = item.start + offset
                slot_counts[index] = 1
                slots[index][0] = slot
                outputs[index] = offset >= first_output
                index += 1
            ends.append(index)
        batch.n_tokens = index
        return ends

    def _sample(self, item: StepItem, end: int) -> Sampled:
        """Return what an item's logits say; its tokens end at the batch's ``end``."""
        sampler = self._samplers[item.sequence.request_id]
        context = self._context
        told: list[TokenLogprobs] = []
        if item.tells_prompt:
            start = end - len(item.tokens)
            prompt = item.sequence.request.prompt
            if item.start == 0:
                told.append(sampler.first_of_prompt(prompt[0]))
            following = prompt[item.start + 1 : item.start + 1 + len(item.tokens)]
            for offset, token in enumerate(following, start=start):
                told.append(sampler.prompt_logprobs_of(context, offset, token))
        if not item.samples:
            return Sampled(prompt_logprobs=tuple(told))
        drafts = [*item.tokens[len(item.tokens) - item.num_draft :], None]
        tokens, logprobs = [], []
        try:
            for offset, draft in enumerate(drafts):
                token = sampler.sample(context, end - len(drafts) + offset)
                tokens.append(token)
                logprob = sampler.logprobs_of(token)
                if logprob is not None:
                    logprobs.append(logprob)
                if token != draft:
                    break
        except EngineError as error:
            return Sampled(error=error)
        return Sampled(
            tuple(tokens), tuple(logprobs), tuple(told), is_complete=sampler.is_done
        )

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()
