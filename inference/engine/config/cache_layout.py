"""How large the KV cache is: at load, and when a sequence needs more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.config.engine_config import EngineConfig

#: llama.cpp rounds a sequence's cells up to a multiple of this.
CELL_PADDING = 256


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The shape of a KV cache: split into one part a sequence, or unified.

    ``n_ctx`` is the most positions of one sequence, ``n_cells`` the cells of all.
    """

    n_ctx: int
    n_seq_max: int
    n_cells: int
    is_split: bool = True


def first_layout(config: EngineConfig) -> CacheLayout:
    """Return the KV cache that a model is loaded with.

    In a unified cache a sequence has at most all cells.
    """
    n_ctx, n_seq_max = config.n_ctx, config.n_seq_max
    whole = n_ctx * n_seq_max
    if config.kv_layout == "split":
        return CacheLayout(n_ctx, n_seq_max, whole)
    n_cells = config.n_cells or whole
    return CacheLayout(min(n_ctx, n_cells), n_seq_max, n_cells, is_split=False)


def grown(
    layout: CacheLayout, needed: int, *, n_ctx_max: int, n_cells_max: int
) -> CacheLayout:
    """Return a layout in which a sequence has ``needed`` positions, at most n_ctx_max.

    The context at least doubles, so that a sequence that grows token by token
    does not rebuild the cache each time. The cache never has more than
    ``n_cells_max`` cells: a split one has fewer sequences instead.
    """
    wanted = max(needed, 2 * layout.n_ctx)
    padded = -(-wanted // CELL_PADDING) * CELL_PADDING
    n_ctx = min(padded, n_ctx_max)
    if not layout.is_split:
        n_cells = min(max(layout.n_cells, n_ctx), n_cells_max)
        return CacheLayout(
            min(n_ctx, n_cells), layout.n_seq_max, n_cells, is_split=False
        )
    n_seq_max = max(1, min(layout.n_seq_max, n_cells_max // n_ctx))
    return CacheLayout(n_ctx, n_seq_max, n_ctx * n_seq_max)
