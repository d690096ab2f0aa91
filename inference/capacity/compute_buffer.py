"""The size of llama.cpp's compute buffers, estimated from a model's widths.

llama.cpp builds the graph of a full micro-batch and lets its allocator find the size
(``graph_reserve`` in src/llama-context.cpp). This file takes the widest step of that
graph instead. The widths come from the buffers that llama.cpp reported for the models
in tests/model_shapes.py; for these the estimate is between 0.9 and 1.15 times the real
size (tests/inference/capacity/test_memory_estimate_witness.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.capacity.kv_cache_size import cells_per_stream

if TYPE_CHECKING:
    from inference.capacity.kv_cache_size import KvCacheShape
    from inference.engine.config.engine_config import EngineConfig
    from registry.gguf.memory_shape import MemoryShape, Widths

_FLOAT = 4
#: Bytes of one element of the left side of a matrix product, which the processor
#: quantises first, in most cases to Q8_0: 34 bytes for 32 elements.
_QUANTIZED = 34 / 32


def compute_bytes(
    shape: MemoryShape,
    config: EngineConfig,
    cache: KvCacheShape,
    *,
    n_vocab: int,
    has_output: bool = True,
) -> int:
    """Return the bytes of a device's compute buffer at a full micro-batch.

    The steps of a graph share one buffer, so the largest step decides its size.
    """
    n_tokens = min(config.n_tokens_max, cache.n_cells)
    n_outputs = min(config.n_outputs_max, n_tokens)
    has_flash = config.flash_attention != "off"
    kinds = {block.is_windowed for block in shape.blocks if block.k}
    sizes = cells_per_stream(config, cache, shape.window)
    # Without a cache, a micro-batch attends to itself.
    seen = [sizes[is_windowed] for is_windowed in kinds] or [n_tokens]
    mask = sum(seen) * (2 if has_flash else _FLOAT)
    attention = _attention_width(shape.widths) * _FLOAT
    if not has_flash:
        # Without flash attention the scores of each token for each cell are kept.
        scores = shape.widths.heads * max(seen)
        attention += (scores + shape.widths.query) * _FLOAT
    widest = max(attention + mask, _inner_width(shape.widths) * _FLOAT + mask)
    steps = widest * n_tokens
    if any(block.state for block in shape.blocks):
        steps += max(block.state for block in shape.blocks) * config.n_seq_max * _FLOAT
    if not has_output or not any(block.k or block.state for block in shape.blocks):
        return steps
    output = n_outputs * n_vocab + 4 * shape.widths.embedding * n_tokens
    return max(steps, output * _FLOAT)


def _attention_width(widths: Widths) -> int:
    """Return the floats of one token in a layer's attention."""
    compressed = 2 * widths.latent * widths.heads
    return compressed + 2 * widths.query + (4 if compressed else 3) * widths.embedding


def _inner_width(widths: Widths) -> int:
    """Return the floats of one token in a layer's feed-forward or recurrent part."""
    embedding = widths.embedding
    used = widths.experts_used
    return max(
        (3 if widths.is_gated else 1) * widths.feed_forward + 4 * embedding,
        3 * widths.shared + 4 * embedding,
        3 * used * widths.expert + 5 * embedding,
        used * (2 * embedding + widths.expert) + 3 * embedding,
        2 * (widths.recurrent_in + widths.recurrent_conv) + embedding,
    )


def work_bytes(widths: Widths, n_tokens: int) -> int:
    """Return the bytes for the quantised left side of the widest matrix product.

    ggml-cpu keeps it outside of the graph's buffer (``work_size`` in ggml-cpu.c).
    """
    inner = max(
        widths.feed_forward,
        widths.shared,
        widths.experts_used * widths.expert,
        widths.query,
        widths.embedding,
    )
    return int(inner * n_tokens * _QUANTIZED)
