"""Runs the steps of a generative model in llama.cpp."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.config.cache_layout import first_layout
from inference.engine.errors import DecodeError, EngineError, ModelLoadError
from inference.engine.llama.bindings.adapters import LlamaAdapters
from inference.engine.llama.bindings.batch import LlamaBatch
from inference.engine.llama.bindings.loading import load_model, prefill_tile
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from inference.engine.llama.context import can_cut
from inference.engine.llama.draft_model import LlamaDraftModel
from inference.engine.llama.media_cells import CellsOfImages, decode_span, position
from inference.engine.llama.prefill_context import (
    CellsWithPrefillContext,
    has_more_positions,
    open_cells,
)
from inference.engine.llama.projector import LlamaProjector, has_mtmd
from inference.engine.llama.sampling.sampler import SequenceSampler
from inference.engine.llama.sampling.sampler_cache import SamplerCache
from inference.engine.speculative.verification import num_agreed, verified
from inference.engine.step import CellsExhausted, Sampled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.config.adapters import Adapters
    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.context import KVCells
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.step import StepItem, StepPlan

logger = logging.getLogger(__name__)

#: llama_decode's return code if it finds no cells; the context is unchanged.
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
        is_rehearsed: bool = False,
    ) -> None:
        """Load the model; ``on_progress`` gets 0 to 1. Raises ModelLoadError.

        ``is_rehearsed``: its prompts were computed apart before.
        """
        self._config = config
        self._is_rehearsed = is_rehearsed
        self.drafter: LlamaDraftModel | None = None
        self._log = log or LlamaLog()
        self._log.install()
        self._samplers: dict[str, SequenceSampler] = {}
        self.layout = first_layout(config)
        self.n_cells_max = max(config.n_cells_max, self.layout.n_cells)
        self.n_ctx_max = config.n_ctx_max or config.n_ctx
        if not self.layout.is_split:
            self.n_ctx_max = min(self.n_ctx_max, self.n_cells_max)
        self.n_batch = config.n_batch
        self.n_outputs_max = config.n_outputs_max
        self.shares_prefixes = config.shares_prefixes
        self.fixed_piece = config.n_tokens_max if config.deterministic else 0
        self.adapters = tuple(adapter.name for adapter in config.adapters)
        with ExitStack() as stack:
            llama_cpp.llama_backend_init()
            self._model = load_model(config, on_progress, self._log)
            stack.callback(llama_cpp.llama_model_free, self._model)
            self._adapters = LlamaAdapters(self._model, config.adapters, self._log)
            # A batch never has more than n_batch tokens: that is the scheduler's
            # budget.
            self._batch = LlamaBatch(config.n_batch)
            stack.callback(self._batch.close)
            vocab = llama_cpp.llama_model_get_vocab(self._model)
            with ThreadPoolExecutor(1) as beside:
                # It asks llama.cpp about each token, which takes as long as a context.
                tokenizer = beside.submit(LlamaTokenizer, vocab)
                self._open_cells(self.layout)
                stack.callback(self._free_cells)
            self.tokenizer = tokenizer.result()
            stack.callback(self._free_samplers)
            self._owned = stack.pop_all()
        self._sampler_cache = SamplerCache(self.tokenizer)
        self._owned.callback(self._sampler_cache.close)
        self.can_cut = can_cut(self._model)
        self.projector = self._load_projector()
        has_window = llama_cpp.llama_model_n_swa(self._model) > 0
        # For a batch of several micro-batches llama.cpp simulates where the tokens go,
        # and does not restore the cells of a sliding window that later micro-batches
        # free but earlier ones still see. So it gets batches of one micro-batch, or of
        # several with different sequences.
        self.needs_even_batches = has_window
        if self.needs_even_batches:
            self.n_batch = min(config.n_batch, config.n_ubatch)
        # When a draft turns out wrong, a sliding window has already moved on.
        self.can_draft = self.can_cut and not has_window
        self.max_lookup_sequences = config.max_lookup_sequences
        self.itl_target_ms = config.itl_target_ms
        tile = prefill_tile(config)
        # If a batch has room for only one tile, there is no choice.
        self.prefill_tile = tile if self.n_batch > 2 * tile else 1
        # In a split cache the micro-batch of decodes has one token of every sequence.
        self.prefill_lead = int(self.layout.is_split and self.prefill_tile > 1)
        self._load_draft_model()

    def _load_projector(self) -> LlamaProjector | None:
        """Load the projector, if configured. Raises ModelLoadError.

        Where llama.cpp has no libmtmd, the model reads text: requests with images are
        refused, by name.
        """
        if not self._config.projector:
            return None
        if not has_mtmd():
            logger.warning(
                "Images are refused: llama.cpp has no libmtmd here; "
                "scripts/build_mtmd.sh builds it."
            )
            return None
        try:
            projector = LlamaProjector(self._config, self._model, log=self._log)
        except ModelLoadError:
            self.close()
            raise
        self._owned.callback(projector.close)
        return projector

    def _load_draft_model(self) -> None:
        """Load the draft model, if configured. Raises ModelLoadError."""
        config = self._config.of_draft_model
        if config is None:
            return
        try:
            if not self.can_draft:
                raise ModelLoadError(
                    "No draft model can be used: this model has a recurrent state or a "
                    "sliding window, which cannot take back guesses that were wrong."
                )
            self.drafter = LlamaDraftModel(
                config, self.layout, tokenizer=self.tokenizer, log=self._log
            )
        except ModelLoadError:
            self.close()
            raise
        self._owned.callback(self.drafter.close)

    # The cache ----------------------------------------------------------------

    def _open_cells(self, layout: CacheLayout) -> None:
        made = self._model, self._config, layout, self._log
        if self._config.projector and has_more_positions(self._model):
            self._cells: KVCells = CellsOfImages(*made)
        else:
            self._cells = open_cells(*made, is_rehearsed=self._is_rehearsed)
            self._is_rehearsed = self._is_rehearsed or self.has_prefill_context
        if self.drafter is not None:
            self.drafter.resize(layout)

    @property
    def has_prefill_context(self) -> bool:
        """Whether short chunks of prompts have a context of their own."""
        return isinstance(self._cells, CellsWithPrefillContext)

    def resize(self, layout: CacheLayout) -> None:
        """Replace the KV cache by an empty one of another layout; the weights stay.

        Raises ModelLoadError if there is no memory for it; then the cache is as it was,
        but empty. Raises EngineError if that fails as well: then nothing can be
        computed any more.
        """
        self._free_cells()
        try:
            self._open_cells(layout)
        except ModelLoadError:
            self._free_cells()
            self._open_again()
            raise
        self.layout = layout

    def _open_again(self) -> None:
        try:
            self._open_cells(self.layout)
        except ModelLoadError as error:
            raise EngineError(f"The context is lost: {error.message}") from error

    def _free_cells(self) -> None:
        self._adapters.forget_contexts()
        self._cells.free()
        if self.drafter is not None:
            self.drafter.free_context()

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self._cells.clear(slot)

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` cells of a slot; False if that leaves none."""
        return self._cells.keep(slot, length)

    def fork(self, source: int, target: int, length: int) -> bool:
        """Copy the first ``length`` cells of a slot to an empty one; False if not."""
        return self._cells.fork(source, target, length)

    def move(self, source: int, target: int) -> None:
        """Move all cells of a slot to an empty one. Raises DecodeError."""
        self._cells.move(source, target)

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells."""
        return self._cells.save(slot)

    def restore(self, slot: int, state: bytes | bytearray) -> bool:
        """Fill an empty slot with saved cells; False, with it empty, if it fails."""
        return self._cells.restore(slot, state)

    def compact(self) -> bool:
        """Give back the memory of cells that are not in use any more.

        False if the content of the others is lost.
        """
        return self._cells.compact()

    def length(self, slot: int) -> int:
        """Return how many positions the slot has in llama.cpp."""
        return self._cells.length(slot)

    # Sequences ----------------------------------------------------------------

    def prepare(self, request_id: str, params: SamplingParams) -> None:
        """Prepare the slow parts of making a sampler. Any thread may call it.

        Raises InvalidRequest if no sampler can be made.
        """
        self._sampler_cache.prepare(request_id, params, n_ctx=self.n_ctx_max)

    def release(self, request_id: str) -> None:
        """Keep what was prepared for a request no longer. Idempotent."""
        self._sampler_cache.release(request_id)

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        """Make a sequence's sampler, which has seen its ``output`` so far."""
        self._samplers[request_id] = SequenceSampler(
            params,
            cache=self._sampler_cache,
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
        """Compute a step; return what was sampled, by slot.

        Raises CellsExhausted, with what was computed before, or DecodeError; then the
        KV cells of the plan's slots are undefined.
        """
        self._cells.will_change()
        gained: dict[int, Sampled] = {}
        done: list[StepItem] = []
        try:
            self._compute(plan, gained, done)
        except CellsExhausted as error:
            self._note(done)
            raise CellsExhausted(
                error.message, done=tuple(done), sampled=gained
            ) from None
        self._note(plan.items)
        return gained

    def _note(self, items: Iterable[StepItem]) -> None:
        for item in items:
            self._cells.computed(item)

    def _compute(
        self, plan: StepPlan, gained: dict[int, Sampled], done: list[StepItem]
    ) -> None:
        """Compute a step: add what is done, or an item's pieces, and what they gain."""
        together = []
        for item in plan.items:
            if item.has_media:
                self._run_pieces(item, plan.adapters, gained, done)
                continue
            apart = self._cells.context_apart(item)
            if apart is None:
                together.append(item)
            else:
                gained.update(self._run(apart, [item], plan.adapters, in_slot=0))
                done.append(item)
        for items in self._batches(together):
            gained.update(self._run(self._cells.context, items, plan.adapters))
            done += items

    def _run_pieces(
        self,
        item: StepItem,
        adapters: Adapters,
        gained: dict[int, Sampled],
        done: list[StepItem],
    ) -> None:
        """Compute the text and the images of an item one after the other.

        llama.cpp takes tokens or embeddings in a batch, not both. A piece for which it
        finds no cells changes nothing.
        """
        slot = item.sequence.slot or 0
        self._cells.settle(slot)
        context = self._cells.context
        for piece, span in item.pieces():
            if span is None:
                gained.update(self._run(context, [piece], adapters))
            else:
                self._adapters.apply(context, adapters)
                self._check(decode_span(context, piece, span), len(piece.tokens))
                if piece.samples:
                    # Of this batch llama.cpp keeps the logits of the last only.
                    gained[slot] = self._sample(context, piece, len(piece.tokens))
            done.append(piece)

    def _check(self, code: int, count: int) -> None:
        """Raise for what llama_decode returned."""
        if code != 0:
            kind = CellsExhausted if code == _NO_CELLS else DecodeError
            raise kind(
                f"llama_decode returned {code} for {count} tokens. " + self._log.tail()
            )

    def _is_tiled(self, item: StepItem) -> bool:
        return len(item.tokens) >= self.prefill_tile > 1

    def _batches(self, items: list[StepItem]) -> list[list[StepItem]]:
        """Split items into batches: in a split cache, tiles get batches of their own.

        Otherwise their first tokens would be in the micro-batch of the decodes, where
        each sequence has one token, and the rest might be less than a tile. Where it is
        none, they are together: a decode on either side of a prompt's slot would else
        be a micro-batch of its own.
        """
        is_short = sum(len(item.tokens) for item in items) < self.prefill_tile
        if is_short or not self.layout.is_split:
            return [items] if items else []
        tiled = [item for item in items if self._is_tiled(item)]
        others = [item for item in items if not self._is_tiled(item)]
        has_lead = all(len(item.tokens) > self.prefill_tile for item in tiled)
        if has_lead and all(len(item.tokens) == 1 for item in others):
            return [items]
        return [batch for batch in (others, tiled) if batch]

    def _run(
        self,
        context: Any,
        items: list[StepItem],
        adapters: Adapters,
        *,
        in_slot: int | None = None,
    ) -> dict[int, Sampled]:
        """Compute one batch, in the slots of the items or in this one."""
        self._adapters.apply(context, adapters)
        batch = self._batch
        batch.clear()
        ends = [
            batch.add(
                item.tokens,
                start=position(item.sequence.request.media_spans, item.start),
                slot=(item.sequence.slot or 0) if in_slot is None else in_slot,
                outputs=item.num_outputs,
            )
            for item in items
        ]
        self._check(llama_cpp.llama_decode(context, batch.raw), ends[-1])
        return {
            item.sequence.slot or 0: self._sample(context, item, end)
            for item, end in zip(items, ends, strict=True)
            if item.num_outputs
        }

    def _sample(self, context: Any, item: StepItem, end: int) -> Sampled:
        """Sample from an item's logits; its tokens end at the batch's ``end``."""
        sampler = self._samplers[item.sequence.request_id]
        has_more = item.num_draft or item.wants_prompt_logprobs
        if sampler.is_plain and item.samples and not has_more:
            # The usual case.
            return Sampled((sampler.sample(context, end - 1),))
        prompt_logprobs: list[TokenLogprobs] = []
        if item.wants_prompt_logprobs:
            start = end - len(item.tokens)
            prompt = item.sequence.request.prompt_token_ids
            if item.start == 0:
                prompt_logprobs.append(sampler.first_of_prompt(prompt[0]))
            following = prompt[item.start + 1 : item.start + 1 + len(item.tokens)]
            for offset, token in enumerate(following, start=start):
                prompt_logprobs.append(
                    sampler.prompt_logprobs_of(context, offset, token)
                )
        if not item.samples:
            return Sampled(prompt_logprobs=tuple(prompt_logprobs))
        draft = list(item.tokens[len(item.tokens) - item.num_draft :])
        logprobs = []

        def sample(place: int) -> list[int]:
            if place and sampler.is_done:
                return []
            token = sampler.sample(context, end - 1 - len(draft) + place)
            logprob = sampler.logprobs_of(token)
            if logprob is not None:
                logprobs.append(logprob)
            return [token, *sampler.forced]

        try:
            tokens = verified(draft, sample) if draft else sample(0)
        except EngineError as error:
            return Sampled(error=error)
        return Sampled(
            tuple(tokens),
            num_agreed(draft, tokens) if draft else 0,
            tuple(logprobs),
            tuple(prompt_logprobs),
            is_complete=sampler.is_done,
        )

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()
