"""A context of its own for long prompts, where another type of V is faster.

ggml-cpu on x86 adds V of type f16 up in f16, which makes a decode up to twice as slow
as with bf16, added up in f32. It computes the flash attention of many tokens in tiles,
several times as fast, only if K and V are both f16. So decodes have V in bf16, long
prompts are computed in f16, and their cells are converted once, when a prompt is done.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.config import STAGE_SEQUENCES
from inference.engine.errors import DecodeError
from inference.engine.llama.loading import is_on_cpu, make_context
from inference.engine.slots import Layout

if TYPE_CHECKING:
    from inference.engine.config import EngineConfig
    from inference.engine.llama.log import LlamaLog

#: V's types while decoding and while a prompt is computed, with ggml's numbers.
DECODE_TYPE = "bf16"
_PREFILL_TYPE = "f16"
_GGML_BF16, _GGML_F16 = 30, 1
_MAX_F16 = 65504.0
#: Of a saved sequence: magic, its number, the streams of its cache.
_HEADER = struct.Struct("<IiI")
#: Of a cell in a saved sequence: position, count of sequences, sequence.
_CELL_BYTES = 12
#: Before a layer's rows: their type, and the bytes of one.
_ROWS_HEADER = struct.Struct("<iQ")
_ROPES_WITH_MORE_POSITIONS = (
    llama_cpp.LLAMA_ROPE_TYPE_MROPE,
    llama_cpp.LLAMA_ROPE_TYPE_IMROPE,
    llama_cpp.LLAMA_ROPE_TYPE_VISION,
)


def can_stage(model: Any, config: EngineConfig) -> bool:
    """Whether prompts of this model can be computed apart, and had better be."""
    return (
        config.may_prefill_apart
        and is_on_cpu(config)
        and not llama_cpp.llama_model_is_recurrent(model)
        and not llama_cpp.llama_model_is_hybrid(model)
        and not llama_cpp.llama_model_n_swa(model)
        and llama_cpp.llama_model_rope_type(model) not in _ROPES_WITH_MORE_POSITIONS
    )


def pays(layout: Layout) -> bool:
    """Whether the memory of one more sequence is little beside the cache's."""
    return layout.n_seq_max >= STAGE_SEQUENCES


class PrefillStage:
    """A context with the cells of one slot at most, ``slot``."""

    def __init__(
        self, model: Any, config: EngineConfig, layout: Layout, log: LlamaLog
    ) -> None:
        """Make the context. Raises ModelLoadError."""
        self._n_streams = layout.n_seq_max
        self.slot: int | None = None
        self.context = make_context(
            model,
            replace(config, cache_type_v=_PREFILL_TYPE),
            Layout(layout.n_ctx, 1, layout.n_ctx, is_split=True),
            log,
        )
        self._memory = llama_cpp.llama_get_memory(self.context)

    @property
    def length(self) -> int:
        """The positions that it has."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, 0)) + 1

    def clear(self) -> None:
        """Empty it."""
        self.slot = None
        llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)

    def keep(self, length: int) -> None:
        """Drop what is at ``length`` and beyond."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1)

    def fill(self, slot: int, state: bytes) -> None:
        """Take the cells of a slot, as saved; b"" is none. Raises DecodeError."""
        self.clear()
        if state:
            own = converted(state, n_streams=1, to_type=_GGML_F16)
            buffer = (ctypes.c_uint8 * len(own)).from_buffer(own)
            if not llama_cpp.llama_state_seq_set_data(
                self.context, buffer, len(own), 0
            ):
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
        return converted(state, n_streams=self._n_streams, to_type=_GGML_BF16)

    def close(self) -> None:
        """Free it. Idempotent."""
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        self.context = None


def converted(state: bytes | bytearray, *, n_streams: int, to_type: int) -> bytearray:
    """Return a saved sequence with V of another type, for a cache of ``n_streams``.

    The layout is that of ``llama_context::state_seq_get_data``: magic, sequence, number
    of streams; for each the number of its cells and, if there are any, the cells,
    whether V is transposed, the number of layers, the rows of K, then those of V, layer
    by layer.
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
    is_transposed, n_layers = struct.unpack_from("<II", out, offset)
    offset += 8
    if is_transposed:
        raise DecodeError("A saved sequence has V transposed.")
    for _ in range(n_layers):
        _, row_bytes = _ROWS_HEADER.unpack_from(out, offset)
        offset += _ROWS_HEADER.size + row_bytes * num_cells
    table = _TABLES[to_type]
    for _ in range(n_layers):
        _, row_bytes = _ROWS_HEADER.unpack_from(out, offset)
        struct.pack_into("<i", out, offset, to_type)
        offset += _ROWS_HEADER.size
        values = np.frombuffer(out, np.uint16, num_cells * row_bytes // 2, offset)
        np.take(table, values, out=values, mode="clip")
        offset += row_bytes * num_cells
    if offset != len(out):
        raise DecodeError("A saved sequence is not what was expected.")
    return out + bytes(4 * (n_streams - 1))


def _as_bf16() -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return for every f16, as bits, the nearest bf16; ties go to even."""
    bits = np.arange(65536, dtype=np.uint16)
    wide = bits.view(np.float16).astype(np.float32).view(np.uint32)
    return ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype(np.uint16)


def _as_f16() -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return for every bf16, as bits, the nearest f16 that is finite."""
    wide = np.arange(65536, dtype=np.uint32) << 16
    finite = np.clip(wide.view(np.float32), -_MAX_F16, _MAX_F16)
    return finite.astype(np.float16).view(np.uint16)


_TABLES = {_GGML_BF16: _as_bf16(), _GGML_F16: _as_f16()}
