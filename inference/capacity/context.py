"""How long a context a model is loaded with, and for how many sequences. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.capacity.kv_cache_size import (
    CELL_PADDING,
    KvCacheShape,
    padded,
    split_cache,
    unified_cache,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Returns the bytes of a cache, with the recurrent states of its sequences.
    CacheBytes = Callable[[KvCacheShape], int]

#: With at least this many sequences a split cache is better than a shared one. A
#: choice: a split cache attends faster, but each sequence is limited to its own cells.
USEFUL_SEQUENCES = 4
#: A shorter context is of no use, however little memory there is. A choice.
_LEAST_CTX = 512
#: llama.cpp counts cells in 32 bits.
_MOST_CELLS = 2**31


@dataclass(frozen=True, slots=True)
class ContextSpec:
    """What decides a model's context. All lengths are in tokens.

    ``n_ctx`` and ``n_seq_max`` are set for the model, else None; ``default_ctx`` and
    ``most_sequences`` come from the configuration. ``trained`` and ``tested`` are
    upper bounds, ``seen`` is the longest request so far. ``recommended`` by a context
    test replaces the default.
    """

    default_ctx: int
    most_sequences: int
    layout: str = "auto"
    n_ctx: int | None = None
    n_seq_max: int | None = None
    trained: int | None = None
    tested: int | None = None
    seen: int | None = None
    recommended: int | None = None

    @property
    def at_load(self) -> int:
        """The context to load with, if memory allows it."""
        return self.n_ctx or min(self._needed, self.ceiling)

    @property
    def ceiling(self) -> int:
        """The longest context that the model may ever have."""
        if self.n_ctx:
            return self.n_ctx
        bounds = [bound for bound in (self.trained, self.tested) if bound]
        return min(bounds, default=self._needed)

    @property
    def _needed(self) -> int:
        return max(self.recommended or self.default_ctx, self.seen or 0)

    @property
    def sequences(self) -> int:
        """The number of sequences, if memory allows it."""
        return self.n_seq_max or self.most_sequences

    @property
    def useful(self) -> int:
        """The number of sequences from which a split cache is the better one."""
        return self.n_seq_max or min(USEFUL_SEQUENCES, self.most_sequences)


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """A context at load, and how far it may grow. See EngineConfig for the fields."""

    kv_layout: str
    n_ctx: int
    n_seq_max: int
    n_cells: int
    n_ctx_max: int
    n_cells_max: int


def choose_context(
    spec: ContextSpec, cache_bytes: CacheBytes, budget: int
) -> ContextPlan:
    """Return the context for a KV budget in bytes.

    Settings of the model hold whatever the budget is. Without them the context
    shrinks until one sequence fits, and may grow to what one sequence can take alone.
    The cache is split if that leaves enough sequences, else all sequences share it.
    """
    one = _largest_context(
        spec.ceiling, lambda n: cache_bytes(split_cache(n, 1)) <= budget
    )
    n_ctx = spec.n_ctx or min(spec.at_load, max(one, _LEAST_CTX))
    n_ctx_max = n_ctx if spec.n_ctx else max(one, n_ctx)
    budget = max(budget, cache_bytes(split_cache(n_ctx, 1)))
    fitting = _most(
        spec.sequences, lambda n: cache_bytes(split_cache(n_ctx, n)) <= budget
    )
    layout = spec.layout
    if layout == "auto":
        layout = "split" if fitting >= spec.useful else "unified"
    if layout == "split":
        return _split(spec, cache_bytes, budget, n_ctx, n_ctx_max, fitting)
    return _unified(spec, cache_bytes, budget, n_ctx, n_ctx_max)


def choose_text_length(
    spec: ContextSpec, text_bytes: Callable[[int], int], budget: int
) -> ContextPlan:
    """Return the context of an embedding model or reranker: its longest text.

    A text is computed in one piece, and the texts of a batch share the cells.
    """
    one = _largest_context(spec.ceiling, lambda n: text_bytes(n) <= budget)
    n_ctx = spec.n_ctx or min(spec.at_load, max(one, _LEAST_CTX))
    return ContextPlan("unified", n_ctx, spec.sequences, n_ctx, n_ctx, n_ctx)


def _split(
    spec: ContextSpec,
    cache_bytes: CacheBytes,
    budget: int,
    n_ctx: int,
    n_ctx_max: int,
    fitting: int,
) -> ContextPlan:
    n_seq_max = spec.n_seq_max or fitting
    n_cells = padded(n_ctx) * n_seq_max
    if spec.n_ctx:
        return ContextPlan("split", n_ctx, n_seq_max, n_cells, n_ctx, n_cells)
    # When the context grows there are fewer sequences, in as many cells as fit.
    most = _largest_context(
        padded(n_ctx_max) * n_seq_max,
        lambda n: cache_bytes(KvCacheShape(n, n_seq_max, n_seq_max)) <= budget,
    )
    return ContextPlan(
        "split", n_ctx, n_seq_max, n_cells, n_ctx_max, max(n_cells, most)
    )


def _unified(
    spec: ContextSpec,
    cache_bytes: CacheBytes,
    budget: int,
    n_ctx: int,
    n_ctx_max: int,
) -> ContextPlan:
    n_seq_max = spec.n_seq_max or _most(
        spec.sequences, lambda n: cache_bytes(unified_cache(n_ctx, n)) <= budget
    )
    most = _largest_context(
        padded(n_ctx_max) * n_seq_max,
        lambda n: cache_bytes(unified_cache(n, n_seq_max)) <= budget,
    )
    n_cells = max(padded(n_ctx), most)
    if not spec.n_seq_max:
        n_seq_max = min(n_seq_max, n_cells // CELL_PADDING)
    if not spec.n_ctx:
        # The cells are shared, so one sequence may use all of them from the start.
        n_ctx = n_ctx_max = min(n_ctx_max, n_cells)
    return ContextPlan("unified", n_ctx, n_seq_max, n_cells, n_ctx_max, n_cells)


def _largest_context(ceiling: int, fits: Callable[[int], bool]) -> int:
    """Return the most tokens that fit: the ceiling, or a multiple of CELL_PADDING."""
    ceiling = min(ceiling, _MOST_CELLS)
    if fits(ceiling):
        return ceiling
    steps = ceiling // CELL_PADDING
    return _most(steps, lambda n: fits(n * CELL_PADDING), least=0) * CELL_PADDING


def _most(ceiling: int, fits: Callable[[int], bool], least: int = 1) -> int:
    """Return the largest number up to a ceiling that fits; ``least`` always does."""
    low, high = least, max(ceiling, least)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
