"""A loaded model and its context, step by step."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.cores import physical_cores
from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.llama.cpu import has_broken_amx
from inference.engine.llama.log import LlamaLog
from inference.engine.llama.sampling import SequenceSampler
from inference.engine.llama.tokenizer import LlamaTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.engine.config import EngineConfig
    from inference.engine.plan import StepPlan
    from inference.engine.sampling_params import SamplingParams

#: ggml's numbers of the types that a KV cache can have (enum ggml_type).
_GGML_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "bf16": 30,
}
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


class LlamaBackend:
    """A model and its context, with one KV stream and one sampler per slot.

    The KV cache is split: a sequence attends over its own cells only, and a
    batch of sequences is one micro-batch as long as slots ascend without gaps.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        on_progress: Callable[[float], None] = lambda _progress: None,
        log: LlamaLog | None = None,
    ) -> None:
        """Load the model; ``on_progress`` gets 0 to 1. Raises ModelLoadError."""
        self._log = log or LlamaLog()
        self._log.install()
        self._samplers: dict[int, SequenceSampler] = {}
        self.n_ctx = config.n_ctx
        self.n_seq_max = config.n_seq_max
        self.n_batch = config.n_batch
        with ExitStack() as stack:
            llama_cpp.llama_backend_init()
            self._model = self._load_model(config, on_progress)
            stack.callback(llama_cpp.llama_model_free, self._model)
            self._context = self._make_context(config)
            stack.callback(llama_cpp.llama_free, self._context)
            # More tokens than n_batch never come: the scheduler's budget.
            self._batch = llama_cpp.llama_batch_init(config.n_batch, 0, 1)
            stack.callback(llama_cpp.llama_batch_free, self._batch)
            stack.callback(self._free_samplers)
            self._owned = stack.pop_all()
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(self._model))

    def _load_model(
        self, config: EngineConfig, on_progress: Callable[[float], None]
    ) -> Any:
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = config.n_gpu_layers
        params.use_extra_bufts = not has_broken_amx()

        def report(progress: float, _data: object) -> bool:
            on_progress(progress)
            return True

        # A name of its own keeps the callback alive while C may call it.
        callback = llama_cpp.llama_progress_callback(report)
        params.progress_callback = callback
        paths = [path.encode() for path in config.paths]
        array = (ctypes.c_char_p * len(paths))(*paths)
        model = llama_cpp.llama_model_load_from_splits(array, len(paths), params)
        if not model:
            raise ModelLoadError(
                self._log.tail() or f"llama.cpp cannot load {config.paths[0]}."
            )
        return model

    def _make_context(self, config: EngineConfig) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = config.n_ctx * config.n_seq_max
        params.n_seq_max = config.n_seq_max
        params.n_batch = config.n_batch
        params.n_ubatch = min(config.n_batch, config.n_ubatch)
        params.n_outputs_max = min(config.n_seq_max, config.n_batch)
        params.kv_unified = False
        params.type_k = params.type_v = _GGML_TYPES[config.kv_cache_type]
        params.flash_attn_type = _FLASH_ATTENTION[config.flash_attention]
        params.no_perf = True
        n_threads = config.n_threads or physical_cores()
        params.n_threads = params.n_threads_batch = n_threads
        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            raise ModelLoadError(
                self._log.tail()
                or f"llama.cpp cannot create a context of {params.n_ctx} cells."
            )
        return context

    def open_slot(self, slot: int, params: SamplingParams, output: list[int]) -> None:
        """Empty the slot's KV cells and give it a sampler that has seen ``output``."""
        self.close_slot(slot)
        self._samplers[slot] = SequenceSampler(
            params, tokenizer=self.tokenizer, n_ctx=self.n_ctx, output=output
        )

    def close_slot(self, slot: int) -> None:
        """Empty the slot's KV cells and free its sampler. Idempotent."""
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)
        sampler = self._samplers.pop(slot, None)
        if sampler is not None:
            sampler.close()

    def decode(self, plan: StepPlan) -> dict[int, int]:
        """Compute a step; return the sampled token of each slot that samples.

        Raises DecodeError; the KV cells of the plan's slots are then undefined.
        """
        outputs = dict(self._fill(plan))
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            raise DecodeError(
                f"llama_decode returned {code} for {plan.num_tokens} tokens. "
                + self._log.tail()
            )
        return {
            slot: self._samplers[slot].sample(self._context, index)
            for slot, index in outputs.items()
        }

    def _fill(self, plan: StepPlan) -> Iterator[tuple[int, int]]:
        """Write the plan into the batch; yield (slot, batch index) of the outputs."""
        batch = self._batch
        tokens, positions, outputs = batch.token, batch.pos, batch.logits
        slots, slot_counts = batch.seq_id, batch.n_seq_id
        index = 0
        for item in plan.items:
            slot = item.sequence.slot
            for offset, token in enumerate(item.tokens):
                tokens[index] = token
                positions[index] = item.start + offset
                slot_counts[index] = 1
                slots[index][0] = slot
                outputs[index] = 0
                index += 1
            if item.samples:
                outputs[index - 1] = 1
                yield slot or 0, index - 1
        batch.n_tokens = index

    def _free_samplers(self) -> None:
        while self._samplers:
            self._samplers.popitem()[1].close()

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()
