"""The size of a KV cache and of recurrent states, computed as llama.cpp does.

Follows llama.cpp's ``llama_context`` constructor (src/llama-context.cpp) and the
constructors of its caches (src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp,
src/llama-memory-recurrent.cpp). test_memory_estimate_witness.py compares the results
with the sizes that llama.cpp logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.config.engine_config import EngineConfig
    from registry.gguf.memory_shape import Block

#: Bytes of one element by type: of a quantised type, the bytes of a block of 32
#: elements with its scales (``block_q8_0`` and others in ggml/src/ggml-common.h).
KV_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
#: llama.cpp rounds the cells of a stream up to a multiple of this: ``GGML_PAD(…, 256)``
#: in src/llama-context.cpp.
CELL_PADDING = 256
#: Recurrent states are stored as F32.
_STATE_BYTES = 4


@dataclass(frozen=True, slots=True)
class CacheElements:
    """Elements that layers keep: for each token, and for each sequence.

    Layers with a sliding window keep ``windowed_k`` and ``windowed_v`` for the tokens
    in it; recurrent layers keep ``state`` for each sequence.
    """

    k: int = 0
    v: int = 0
    windowed_k: int = 0
    windowed_v: int = 0
    state: int = 0


def cache_elements(blocks: Iterable[Block]) -> CacheElements:
    """Return the elements that these layers keep together."""
    layers = list(blocks)
    whole = [layer for layer in layers if not layer.is_windowed]
    windowed = [layer for layer in layers if layer.is_windowed]
    return CacheElements(
        k=sum(layer.k for layer in whole),
        v=sum(layer.v for layer in whole),
        windowed_k=sum(layer.k for layer in windowed),
        windowed_v=sum(layer.v for layer in windowed),
        state=sum(layer.state for layer in layers),
    )


@dataclass(frozen=True, slots=True)
class KvCacheShape:
    """A KV cache: its cells in all streams, and its number of sequences.

    A split cache has a stream of cells for each of ``n_seq_max`` sequences, a unified
    cache has one stream for all.
    """

    n_cells: int
    n_streams: int
    n_seq_max: int

    @property
    def cells_per_stream(self) -> int:
        """Cells of one stream, rounded as llama.cpp does."""
        return padded(-(-self.n_cells // self.n_streams))


def padded(n_cells: int) -> int:
    """Return the cells of a stream that needs ``n_cells``."""
    return -(-n_cells // CELL_PADDING) * CELL_PADDING


def split_cache(n_ctx: int, n_seq_max: int) -> KvCacheShape:
    """Return a cache in which each sequence has ``n_ctx`` cells of its own."""
    return KvCacheShape(padded(n_ctx) * n_seq_max, n_seq_max, n_seq_max)


def unified_cache(n_cells: int, n_seq_max: int) -> KvCacheShape:
    """Return a cache whose cells all sequences share."""
    return KvCacheShape(padded(n_cells), 1, n_seq_max)


def caches(config: EngineConfig) -> tuple[KvCacheShape, KvCacheShape]:
    """Return the cache at load, and the cache at the context's maximum."""
    n_seq_max = config.n_seq_max
    if not config.is_generative:
        # The texts of a batch share the cells.
        batch = unified_cache(config.n_tokens_max, n_seq_max)
        return batch, batch
    n_ctx_max = max(config.n_ctx_max, config.n_ctx)
    whole = config.n_ctx * n_seq_max
    if config.kv_layout == "unified":
        first = unified_cache(config.n_cells or whole, n_seq_max)
        most = max(first.n_cells, config.n_cells_max)
        return first, unified_cache(most, n_seq_max)
    most = max(config.n_cells_max, whole)
    grown = max(1, min(n_seq_max, most // n_ctx_max))
    return split_cache(config.n_ctx, n_seq_max), split_cache(n_ctx_max, grown)


def cells_per_stream(
    config: EngineConfig, cache: KvCacheShape, window: int
) -> tuple[int, int]:
    """Return a stream's cells in full-attention and in sliding-window layers.

    The latter need cells for the window and one micro-batch, unless ``swa_full`` is
    set: ``size_swa`` in llama.cpp's src/llama-kv-cache-iswa.cpp.
    """
    whole = cache.cells_per_stream
    if config.swa_full or not window:
        return whole, whole
    seen = window * (cache.n_seq_max if cache.n_streams == 1 else 1)
    return whole, min(whole, padded(seen + config.n_ubatch))


def kv_bytes(
    elements: CacheElements, config: EngineConfig, cache: KvCacheShape, window: int
) -> int:
    """Return the bytes of K and V of a cache."""
    whole, windowed = cells_per_stream(config, cache, window)
    k = elements.k * whole + elements.windowed_k * windowed
    v = elements.v * whole + elements.windowed_v * windowed
    size = k * KV_BYTES[config.cache_type_k] + v * KV_BYTES[config.cache_type_v]
    return int(size) * cache.n_streams


def recurrent_bytes(elements: CacheElements, n_seq_max: int) -> int:
    """Return the bytes of all sequences' states."""
    return elements.state * n_seq_max * _STATE_BYTES
