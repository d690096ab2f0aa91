"""How long a context a model is loaded with, and for how many sequences: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.capacity.memory_estimate import (
    CELL_PADDING,
    Cache,
    padded,
    split_cache,
    unified_cache,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Bytes that a cache takes, with the states of its sequences.
    CacheBytes = Callable[[Cache], int]

#: Sequences that make splitting worth while, if as many are wanted.
USEFUL_SEQUENCES = 4
#: A context below this is of no use, however little memory there is.
_LEAST_CTX = 512
#: More cells than llama.cpp can count.
_MOST_CELLS = 2**31


@dataclass(frozen=True, slots=True)
class ContextWish:
    """What is wanted of a model's context, and what is known of it. In tokens.

    ``n_ctx`` and ``n_seq_max`` are an administrator's, else None; ``default_ctx``
    and ``most_sequences`` are the configuration's. ``trained`` and ``tested`` are
    bounds, ``seen`` is the largest need of a request so far.
    """

    default_ctx: int
    most_sequences: int
    layout: str = "auto"
    n_ctx: int | None = None
    n_seq_max: int | None = None
    trained: int | None = None
    tested: int | None = None
    seen: int | None = None

    @property
    def at_load(self) -> int:
        """The context wished for at load."""
        return self.n_ctx or min(max(self.default_ctx, self.seen or 0), self.ceiling)

    @property
    def ceiling(self) -> int:
        """The longest context that may ever be."""
        if self.n_ctx:
            return self.n_ctx
        bounds = [bound for bound in (self.trained, self.tested) if bound]
        return min(bounds, default=max(self.default_ctx, self.seen or 0))

    @property
    def sequences(self) -> int:
        """The sequences wished for."""
        return self.n_seq_max or self.most_sequences

    @property
    def useful(self) -> int:
        """The sequences with which a split cache is worth while."""
        return self.n_seq_max or min(USEFUL_SEQUENCES, self.most_sequences)


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """A context at load, and how far it may grow; EngineConfig explains each."""

    kv_layout: str
    n_ctx: int
    n_seq_max: int
    n_cells: int
    n_ctx_max: int
    n_cells_max: int


def choose_context(
    wish: ContextWish, cache_bytes: CacheBytes, budget: int
) -> ContextPlan:
    """Return the context for a KV budget in bytes.

    What an administrator has set holds, whatever the budget says; without it the
    context shrinks until a sequence fits, and has room to grow to what one sequence
    may take. It is split if that leaves enough sequences, else its cells are shared.
    """
    one = _largest_context(
        wish.ceiling, lambda n: cache_bytes(split_cache(n, 1)) <= budget
    )
    n_ctx = wish.n_ctx or min(wish.at_load, max(one, _LEAST_CTX))
    n_ctx_max = n_ctx if wish.n_ctx else max(one, n_ctx)
    budget = max(budget, cache_bytes(split_cache(n_ctx, 1)))
    fitting = _most(
        wish.sequences, lambda n: cache_bytes(split_cache(n_ctx, n)) <= budget
    )
    layout = wish.layout
    if layout == "auto":
        layout = "split" if fitting >= wish.useful else "unified"
    if layout == "split":
        return _split(wish, cache_bytes, budget, n_ctx, n_ctx_max, fitting)
    return _unified(wish, cache_bytes, budget, n_ctx, n_ctx_max)


def choose_text_length(
    wish: ContextWish, text_bytes: Callable[[int], int], budget: int
) -> ContextPlan:
    """Return the context of a model that makes vectors: its longest text.

    A text is computed in one piece, and the texts of a batch share the cells.
    """
    one = _largest_context(wish.ceiling, lambda n: text_bytes(n) <= budget)
    n_ctx = wish.n_ctx or min(wish.at_load, max(one, _LEAST_CTX))
    return ContextPlan("unified", n_ctx, wish.sequences, n_ctx, n_ctx, n_ctx)


def _split(
    wish: ContextWish,
    cache_bytes: CacheBytes,
    budget: int,
    n_ctx: int,
    n_ctx_max: int,
    fitting: int,
) -> ContextPlan:
    n_seq_max = wish.n_seq_max or fitting
    n_cells = padded(n_ctx) * n_seq_max
    if wish.n_ctx:
        return ContextPlan("split", n_ctx, n_seq_max, n_cells, n_ctx, n_cells)
    # Once they have grown there are fewer sequences, in as many cells as fit.
    most = _largest_context(
        padded(n_ctx_max) * n_seq_max,
        lambda n: cache_bytes(Cache(n, n_seq_max, n_seq_max)) <= budget,
    )
    return ContextPlan(
        "split", n_ctx, n_seq_max, n_cells, n_ctx_max, max(n_cells, most)
    )


def _unified(
    wish: ContextWish,
    cache_bytes: CacheBytes,
    budget: int,
    n_ctx: int,
    n_ctx_max: int,
) -> ContextPlan:
    n_seq_max = wish.n_seq_max or _most(
        wish.sequences, lambda n: cache_bytes(unified_cache(n_ctx, n)) <= budget
    )
    most = _largest_context(
        padded(n_ctx_max) * n_seq_max,
        lambda n: cache_bytes(unified_cache(n, n_seq_max)) <= budget,
    )
    n_cells = max(padded(n_ctx), most)
    if not wish.n_seq_max:
        n_seq_max = min(n_seq_max, n_cells // CELL_PADDING)
    if not wish.n_ctx:
        # The cells are there: one sequence may have all that it could grow to.
        n_ctx = n_ctx_max = min(n_ctx_max, n_cells)
    return ContextPlan("unified", n_ctx, n_seq_max, n_cells, n_ctx_max, n_cells)


def _largest_context(ceiling: int, fits: Callable[[int], bool]) -> int:
    """Return the most tokens up to a ceiling that fit: it, or a multiple of padding."""
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
