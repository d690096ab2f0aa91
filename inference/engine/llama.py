"""llama.cpp behind the engine's seam: the only file that imports llama_cpp.

Every C object has one owner here and is freed once, in the right order; return
codes become errors at once.
"""

from __future__ import annotations

import ctypes
import logging
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import llama_cpp

from inference.engine.cores import physical_cores
from inference.engine.errors import DecodeError, InvalidRequest, ModelLoadError
from inference.engine.sampler import sampler_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.engine.config import EngineConfig
    from inference.engine.plan import StepPlan
    from inference.engine.sampling_params import SamplingParams

logger = logging.getLogger(__name__)

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
_LOG_WARN = 3
_LOG_CONT = 5
#: Lines of llama.cpp's log that an error may quote.
_LOG_LINES = 6


def _has_broken_amx() -> bool:
    """Whether this build would run weights through llama.cpp's AMX kernels.

    They load their tile configuration from a stack slot that GCC leaves
    uninitialised, and the process dies of SIGSEGV in its first decode
    (ggml-org/llama.cpp#26954). Without the extra buffer types the weights stay
    with the other kernels: slower, but alive.
    """
    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        return False
    logger.warning(
        "This llama.cpp is built with AMX, whose kernels crash; its weight "
        "repacking is switched off. Build with -mno-amx-int8 for full speed."
    )
    return True


class LlamaLog:
    """Keeps the newest warnings and errors of llama.cpp, for error messages."""

    _installed: ClassVar[LlamaLog | None] = None

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._keeping = False
        # ctypes drops a callback that nobody holds, and C would call freed memory.
        self._callback = llama_cpp.llama_log_callback(self._take)

    def install(self) -> None:
        """Take over llama.cpp's log, which is one for the process."""
        # C calls it until another is installed, whoever has made this one.
        LlamaLog._installed = self
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _data: object) -> None:
        if level != _LOG_CONT:
            self._keeping = level >= _LOG_WARN
        line = text.decode("utf-8", "replace").strip()
        if self._keeping and line:
            self._lines.append(line)

    def tail(self) -> str:
        """Return the kept lines, oldest first."""
        return "\n".join(self._lines)


class LlamaTokenizer:
    """The vocabulary of a model. Thread-safe: llama.cpp's is read-only."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(vocab)
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens; ``special`` puts BOS where the model wants one.

        Special tokens that the text spells out are taken for what they are: the
        chat template writes its marks that way.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        buffer = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(
            self._vocab, data, len(data), buffer, size, special, True
        )
        if count < 0:
            raise InvalidRequest("The prompt cannot be tokenized.", param="prompt")
        return buffer[:count]  # type: ignore[no-any-return]

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token)
        return piece

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(
                self._vocab, token, buffer, size, 0, False
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))


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
        self._samplers: dict[int, Any] = {}
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
        params.use_extra_bufts = not _has_broken_amx()

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
        params.n_ubatch = min(config.n_batch, 512)
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
        chain = self._chain(params)
        for token in output:
            llama_cpp.llama_sampler_accept(chain, token)
        self._samplers[slot] = chain

    def close_slot(self, slot: int) -> None:
        """Empty the slot's KV cells and free its sampler. Idempotent."""
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)
        chain = self._samplers.pop(slot, None)
        if chain is not None:
            llama_cpp.llama_sampler_free(chain)

    def _chain(self, params: SamplingParams) -> Any:
        chain_params = llama_cpp.llama_sampler_chain_default_params()
        chain_params.no_perf = True
        chain = llama_cpp.llama_sampler_chain_init(chain_params)
        n_vocab = self.tokenizer.n_vocab
        for step in sampler_steps(params, n_vocab=n_vocab, n_ctx=self.n_ctx):
            if step.name == "logit_bias":
                sampler = self._logit_bias(params)
            else:
                make = getattr(llama_cpp, f"llama_sampler_init_{step.name}")
                sampler = make(*step.arguments)
            llama_cpp.llama_sampler_chain_add(chain, sampler)
        return chain

    def _logit_bias(self, params: SamplingParams) -> Any:
        biases = [llama_cpp.llama_logit_bias(*pair) for pair in params.logit_bias]
        array = (llama_cpp.llama_logit_bias * len(biases))(*biases)
        return llama_cpp.llama_sampler_init_logit_bias(
            self.tokenizer.n_vocab, len(biases), array
        )

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
        sample, context = llama_cpp.llama_sampler_sample, self._context
        return {
            slot: sample(self._samplers[slot], context, index)
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
            llama_cpp.llama_sampler_free(self._samplers.popitem()[1])

    def close(self) -> None:
        """Free everything, the context before its model. Idempotent."""
        self._owned.close()


def quantize(source: str, target: str, file_type: int) -> None:
    """Write ``source`` anew with another llama_ftype. Raises ModelLoadError.

    Tensors that are quantised already are quantised again.
    """
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.allow_requantize = True
    log = LlamaLog()
    log.install()
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), params)
    if code != 0:
        raise ModelLoadError(log.tail() or f"llama.cpp cannot quantise {source}.")
