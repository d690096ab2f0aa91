"""Makes a llama.cpp model and a context from an EngineConfig."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.config.cpu_threads import physical_cores
from inference.engine.config.engine_config import CPU_TILE
from inference.engine.errors import ModelLoadError
from inference.engine.llama.bindings.cpu import has_broken_amx
from inference.engine.llama.bindings.host_memory import cells_as_used, use_huge_pages
from inference.engine.llama.bindings.rpc import devices_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog

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
_TILED_TYPES = ("f16", "f32")
_SPLIT_MODES = {
    "none": llama_cpp.LLAMA_SPLIT_MODE_NONE,
    "layer": llama_cpp.LLAMA_SPLIT_MODE_LAYER,
    "row": llama_cpp.LLAMA_SPLIT_MODE_ROW,
}
#: llama.cpp's modes, by whether the file is mapped, and whether its memory is locked.
#: AUTO maps it unless a GPU cannot use mapped weights.
_LOAD_MODES = {
    (True, False): llama_cpp.LLAMA_LOAD_MODE_AUTO,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
}
_POOLINGS = {
    "": llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
    "rank": llama_cpp.LLAMA_POOLING_TYPE_RANK,
}
_NUMA = {
    "distribute": llama_cpp.GGML_NUMA_STRATEGY_DISTRIBUTE,
    "isolate": llama_cpp.GGML_NUMA_STRATEGY_ISOLATE,
    "numactl": llama_cpp.GGML_NUMA_STRATEGY_NUMACTL,
    "mirror": llama_cpp.GGML_NUMA_STRATEGY_MIRROR,
}


def load_model(
    config: EngineConfig,
    on_progress: Callable[[float], None],
    log: LlamaLog,
    *,
    is_dry: bool = False,
) -> Any:
    """Load the weights; ``on_progress`` gets 0 to 1. Raises ModelLoadError.

    ``is_dry``: read the files' headers only, and allocate nothing.
    """
    use_huge_pages()
    if config.numa != "disabled":
        llama_cpp.llama_numa_init(_NUMA[config.numa])
    if config.use_mlock:
        _check_mlock(config)
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = config.n_gpu_layers
    params.split_mode = _SPLIT_MODES[config.split_mode]
    params.main_gpu = config.main_gpu
    # C reads one number per GPU; a GPU with 0 gets no layers.
    split = (ctypes.c_float * llama_cpp.llama_max_devices())(*config.tensor_split)
    params.tensor_split = split
    if config.rpc_servers and not is_dry:
        if len(config.rpc_sockets) != len(config.rpc_servers):
            raise ModelLoadError(
                "A model on RPC servers runs in a worker process of its own."
            )
        devices = devices_over(config.rpc_sockets)
        params.devices = ctypes.cast(devices, ctypes.c_void_p)
    params.load_mode = _LOAD_MODES[config.use_mmap, config.use_mlock]
    params.use_extra_bufts = not has_broken_amx()
    if is_dry:
        params.no_alloc = True
        # llama.cpp allocates nothing only if it does not map the file.
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE

    def report(progress: float, _data: object) -> bool:
        on_progress(progress)
        return True

    # The name keeps the callback alive while C may call it.
    callback = llama_cpp.llama_progress_callback(report)
    params.progress_callback = callback
    paths = [path.encode() for path in config.paths]
    array = (ctypes.c_char_p * len(paths))(*paths)
    model = llama_cpp.llama_model_load_from_splits(array, len(paths), params)
    if not model:
        raise ModelLoadError(log.tail() or f"llama.cpp cannot load {config.paths[0]}.")
    return model


def _check_mlock(config: EngineConfig) -> None:
    """Raise ModelLoadError where llama.cpp only warns."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    needed = sum(Path(path).stat().st_size for path in config.paths)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise ModelLoadError(
            f"The model's {needed} bytes cannot be locked in memory: this user may "
            f"lock {allowed} (ulimit -l). Raise the limit, or load without mlock."
        )


def make_context(
    model: Any, config: EngineConfig, layout: CacheLayout, log: LlamaLog
) -> Any:
    """Create a context whose KV cache has this layout. Raises ModelLoadError."""
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = layout.n_cells
    params.n_seq_max = layout.n_seq_max
    params.n_batch = max(config.n_batch, config.n_tokens_max)
    params.n_ubatch = config.n_tokens_max
    params.n_outputs_max = config.n_outputs_max
    params.kv_unified = not layout.is_split
    params.type_k = _GGML_TYPES[config.cache_type_k]
    params.type_v = _GGML_TYPES[config.cache_type_v]
    params.swa_full = config.swa_full
    params.flash_attn_type = _FLASH_ATTENTION[config.flash_attention]
    params.embeddings = not config.is_generative
    params.pooling_type = _POOLINGS[
        config.pooling or ("rank" if config.task == "rank" else "")
    ]
    params.no_perf = True
    params.n_threads = config.n_threads or physical_cores()
    params.n_threads_batch = config.n_threads_batch or params.n_threads
    with cells_as_used():
        context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise ModelLoadError(
            log.tail()
            or f"llama.cpp cannot create a context of {layout.n_cells} KV cells."
        )
    return context


def prefill_tile(config: EngineConfig) -> int:
    """Return from how many tokens of a sequence attention is fast; 1 if always."""
    is_tiled = (
        config.flash_attention != "off"
        and config.cache_type_v == config.cache_type_k
        and config.cache_type_k in _TILED_TYPES
    )
    return CPU_TILE if is_on_cpu(config) and is_tiled else 1


def is_on_cpu(config: EngineConfig) -> bool:
    """Whether no GPU and no other machine is used."""
    has_others = config.rpc_servers or llama_cpp.llama_supports_gpu_offload()
    return config.n_gpu_layers == 0 or not has_others
