"""A context of its own for short pieces of long prompts, without flash attention.

Beside running streams a prompt is computed in pieces of some 16 to 48 tokens, so that
no stream has to wait. ggml-cpu computes flash attention row by row for fewer than 64
tokens of a sequence, and in tiles from 64 on; without flash attention it multiplies
matrices, which is as fast for 16 rows as for 64. The deeper a prompt is, the more that
counts: at 1,400 tokens a piece of 16 takes 75 ms with it and 39 without. Decodes, which
are rows anyway, are the faster with it. So such pieces have a context without, and
their cells are brought over once, when the prompt is done.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.cache_layout import CacheLayout
from inference.engine.config import CPU_TILE, STAGE_SEQUENCES
from inference.engine.errors import DecodeError
from inference.engine.llama.bindings.loading import is_on_cpu, make_context

if TYPE_CHECKING:
    from inference.engine.config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog

#: Before this depth a piece is as fast with flash attention.
_DEPTH = 256
_GGML_F16 = 1
#: Of a saved sequence: magic, its number, the streams of its cache.
_HEADER = struct.Struct("<IiI")
#: Of a cell in a saved sequence: position, count of sequences, sequence.
_CELL_BYTES = 12
#: After the cells: whether V is transposed, the number of layers.
_LAYERS = struct.Struct("<II")
#: Before a layer's cells: their type, the bytes of a cell.
_ROWS = struct.Struct("<iQ")
#: Before a layer's transposed V: its type, the bytes of a number, numbers of a cell.
_COLUMNS = struct.Struct("<iII")
_ROPES_WITH_MORE_POSITIONS = (
    llama_cpp.LLAMA_ROPE_TYPE_MROPE,
    llama_cpp.LLAMA_ROPE_TYPE_IMROPE,
    llama_cpp.LLAMA_ROPE_TYPE_VISION,
)


def can_stage(model: Any, config: EngineConfig) -> bool:
    """Whether pieces of this model's prompts can be computed apart."""
    return (
        config.may_prefill_apart
        and is_on_cpu(config)
        and not llama_cpp.llama_model_is_recurrent(model)
        and not llama_cpp.llama_model_is_hybrid(model)
        and not llama_cpp.llama_model_n_swa(model)
        and llama_cpp.llama_model_rope_type(model) not in _ROPES_WITH_MORE_POSITIONS
    )


def pays(layout: CacheLayout) -> bool:
    """Whether the memory of one more sequence is little beside the cache's."""
    return layout.n_seq_max >= STAGE_SEQUENCES


class PrefillStage:
    """A context with the cells of one slot at most, ``slot``."""

    def __init__(
        self, model: Any, config: EngineConfig, layout: CacheLayout, log: LlamaLog
    ) -> None:
        """Make the context. Raises ModelLoadError."""
        self._n_streams = layout.n_seq_max
        self.slot: int | None = None
        self.context = make_context(
            model,
            config.of_stage,
            CacheLayout(layout.n_ctx, 1, layout.n_ctx, is_split=True),
            log,
        )
        self._memory = llama_cpp.llama_get_memory(self.context)

    @property
    def length(self) -> int:
        """The positions that it has."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, 0)) + 1

    def suits(self, slot: int, start: int, count: int) -> bool:
        """Whether ``count`` tokens of a slot, from ``start`` on, had better be here.

        Who has begun here stays until it is done: to bring cells back and forth takes
        longer than what is gained.
        """
        is_free = self.slot in (None, slot)
        return is_free and 1 < count < CPU_TILE and start >= _DEPTH

    def clear(self) -> None:
        """Empty it."""
        self.slot = None
        llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)

    def keep(self, length: int) -> None:
        """Drop what is at ``length`` and beyond."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1)

    def fill(self, slot: int, state: bytes) -> None:
        """Take the cells of a slot, as saved. Raises DecodeError."""
        self.clear()
        own = turned(state, n_streams=1)
        buffer = (ctypes.c_uint8 * len(own)).from_buffer(own)
        if not llama_cpp.llama_state_seq_set_data(self.context, buffer, len(own), 0):
            raise DecodeError("llama.cpp cannot take a sequence to its prefill.")
        self.slot = slot

    def state(self) -> bytearray:
        """Return its cells as those of a slot are saved. Raises DecodeError."""
        size = llama_cpp.llama_state_seq_get_size(self.context, 0)
        state = bytearray(size)
        buffer = (ctypes.c_uint8 * size).from_buffer(state)
        used = llama_cpp.llama_state_seq_get_data(self.context, buffer, size, 0)
        if used != size:
            raise DecodeError("llama.cpp cannot save a sequence that was prefilled.")
        return turned(state, n_streams=self._n_streams)

    def close(self) -> None:
        """Free it. Idempotent."""
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        self.context = None


def turned(state: bytes | bytearray, *, n_streams: int) -> bytearray:
    """Return a saved sequence with V transposed, or back, for a cache of ``n_streams``.

    With flash attention V has a row for each cell, without it a column. The layout is
    that of ``llama_context::state_seq_get_data``: magic, sequence, number of streams;
    for each the number of its cells and, if there are any, the cells, whether V is
    transposed, the number of layers, the rows of K, then V, layer by layer.
    Raises DecodeError for anything else.
    """
    magic, sequence, own_streams = _HEADER.unpack_from(state)
    counts = struct.iter_unpack(
        "<I", memoryview(state)[_HEADER.size :][: 4 * own_streams]
    )
    stream, num_cells = next(
        ((at, count) for at, (count,) in enumerate(counts) if count), (0, 0)
    )
    if not num_cells:
        raise DecodeError("A saved sequence has no cells.")
    start = _HEADER.size + 4 * stream
    end = len(state) - 4 * (own_streams - stream - 1)
    out = bytearray(_HEADER.pack(magic, sequence, n_streams))
    out += memoryview(state)[start:end]
    offset = _HEADER.size + 4 + num_cells * _CELL_BYTES
    is_transposed, n_layers = _LAYERS.unpack_from(out, offset)
    _LAYERS.pack_into(out, offset, not is_transposed, n_layers)
    offset += _LAYERS.size
    for _ in range(n_layers):
        _, row_bytes = _ROWS.unpack_from(out, offset)
        offset += _ROWS.size + row_bytes * num_cells
    turn = _to_rows if is_transposed else _to_columns
    for _ in range(n_layers):
        offset = turn(out, offset, num_cells)
    if offset != len(out):
        raise DecodeError("A saved sequence is not what was expected.")
    return out + bytes(4 * (n_streams - 1))


def _to_columns(out: bytearray, offset: int, num_cells: int) -> int:
    """Transpose a layer's V; return where it ends."""
    kind, row_bytes = _ROWS.unpack_from(out, offset)
    width = row_bytes // 2
    _COLUMNS.pack_into(out, offset, kind, 2, width)
    return _transpose(out, offset + _ROWS.size, kind, num_cells, width)


def _to_rows(out: bytearray, offset: int, num_cells: int) -> int:
    """Transpose a layer's V back; return where it ends."""
    kind, _, width = _COLUMNS.unpack_from(out, offset)
    _ROWS.pack_into(out, offset, kind, 2 * width)
    return _transpose(out, offset + _COLUMNS.size, kind, width, num_cells)


def _transpose(out: bytearray, offset: int, kind: int, rows: int, columns: int) -> int:
    if kind != _GGML_F16:
        raise DecodeError(f"A saved sequence has V of type {kind}, not f16.")
    values = np.frombuffer(out, np.uint16, rows * columns, offset)
    values[:] = values.reshape(rows, columns).T.ravel()
    return offset + 2 * rows * columns
