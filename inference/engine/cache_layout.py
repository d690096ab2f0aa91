"""How large the KV cache is: at load, and when a sequence needs more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.slots import Layout

if TYPE_CHECKING:
    from inference.engine.config import EngineConfig

#: llama.cpp rounds a sequence's cells up to a multiple of this.
CELL_PADDING = 256


def first_layout(config: EngineConfig) -> Layout:
    """Return the KV cache that a model is loaded with.

    Of shared cells a sequence has at most all.
    """
    n_ctx, n_seq_max = config.n_ctx, config.n_seq_max
    whole = n_ctx * n_seq_max
    if config.kv_layout == "split":
        return Layout(n_ctx, n_seq_max, whole)
    n_cells = config.n_cells or whole
    return Layout(min(n_ctx, n_cells), n_seq_max, n_cells, is_split=False)


def grown(layout: Layout, needed: int, *, n_ctx_max: int, n_cells_max: int) -> Layout:
    """Return a layout in which a sequence has ``needed`` positions, at most n_ctx_max.

    The context at least doubles, so that a sequence that grows token by token
    does not make the cache anew each time. More cells than ``n_cells_max`` there
    are never: a split cache has fewer sequences instead.
    """
    wanted = max(needed, 2 * layout.n_ctx)
    padded = -(-wanted // CELL_PADDING) * CELL_PADDING
    n_ctx = min(padded, n_ctx_max)
    if not layout.is_split:
        n_cells = min(max(layout.n_cells, n_ctx), n_cells_max)
        return Layout(min(n_ctx, n_cells), layout.n_seq_max, n_cells, is_split=False)
    n_seq_max = max(1, min(layout.n_seq_max, n_cells_max // n_ctx))
    return Layout(n_ctx, n_seq_max, n_ctx * n_seq_max)
