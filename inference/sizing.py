"""How much memory a model takes, and how many sequences fit: plain arithmetic.

An estimate made before a load, from what the registry knows of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of one KV element; a quantised block of 32 has its scales in it.
_KV_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
#: llama.cpp pads a sequence's cells to a multiple of this.
_CELL_PADDING = 256
#: A Python process with llama.cpp, Django's settings and no model.
_PROCESS_BYTES = 120 * 1024 * 1024
#: Activations of one token in a micro-batch, in multiples of the embedding width;
#: read off llama.cpp's compute buffers of models of several shapes.
_ACTIVATION_FACTOR = 48


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What of a model decides its memory. Sizes in bytes, the rest counts."""

    file_size: int
    kv_elements_per_token: int
    n_embd: int
    n_vocab: int


def kv_bytes_per_token(shape: ModelShape, kv_cache_type: str) -> float:
    """Return the bytes that one token's K and V take over all layers."""
    return shape.kv_elements_per_token * _KV_BYTES[kv_cache_type]


def padded_cells(n_ctx: int) -> int:
    """Return the cells that llama.cpp gives a sequence of ``n_ctx`` tokens."""
    return -(-n_ctx // _CELL_PADDING) * _CELL_PADDING


def sequences_that_fit(
    shape: ModelShape, *, n_ctx: int, kv_cache_type: str, budget: int, maximum: int
) -> int:
    """Return how many sequences of ``n_ctx`` fit a ``budget`` in bytes: at least 1."""
    one = kv_bytes_per_token(shape, kv_cache_type) * padded_cells(n_ctx)
    return max(1, min(maximum, int(budget // one) if one else maximum))


def memory_needed(
    shape: ModelShape, *, n_ctx: int, n_seq_max: int, n_batch: int, kv_cache_type: str
) -> int:
    """Return the bytes that a worker with this model will take."""
    cells = padded_cells(n_ctx) * n_seq_max
    kv = kv_bytes_per_token(shape, kv_cache_type) * cells
    activations = n_batch * shape.n_embd * _ACTIVATION_FACTOR * 4
    logits = n_seq_max * shape.n_vocab * 4
    return int(shape.file_size + kv + activations + logits + _PROCESS_BYTES)
