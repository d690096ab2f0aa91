"""Transposes V in a saved sequence, for contexts without flash attention.

With flash attention V has a row for each cell, without it a column for each. llama.cpp
refuses to restore one as the other, so its format of a saved sequence is read here, and
only here: ``llama_context::state_seq_get_data`` in src/llama-context.cpp, and
``llama_kv_cache::state_write`` in src/llama-kv-cache.cpp.
"""

from __future__ import annotations

import struct

import numpy as np

from inference.engine.errors import DecodeError

#: enum ggml_type
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


def transposed(state: bytes | bytearray, *, n_streams: int) -> bytearray:
    """Return a saved sequence with V transposed, or back, for a cache of ``n_streams``.

    The layout: magic, sequence, number of streams; for each stream the number of its
    cells and, if there are any, the cells, whether V is transposed, the number of
    layers, the rows of K, then V, layer by layer. Raises DecodeError for anything else.
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
