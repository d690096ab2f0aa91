"""How one model is loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker needs to know to load a model.

    ``paths`` are all shards in order. ``n_ctx`` counts tokens of one sequence at
    load; one that needs more makes the context grow up to ``n_ctx_max`` (0 is
    ``n_ctx``), as long as all sequences together have at most ``n_cells_max``
    cells (0 is ``n_ctx * n_seq_max``). ``kv_layout`` ``split`` gives each of
    ``n_seq_max`` sequences its own cells, ``unified`` shares ``n_cells`` between
    them (0 is ``n_ctx * n_seq_max``). ``n_gpu_layers`` -1 is all. ``n_threads`` 0
    is one per physical core. ``shares_prefixes`` lets tenants use each other's
    cached prefixes. Raises ValueError if a step of ``n_batch`` tokens could not
    carry one of every sequence.
    """

    paths: tuple[str, ...]
    n_ctx: int
    n_seq_max: int
    n_ctx_max: int = 0
    kv_layout: str = "split"
    n_cells: int = 0
    n_cells_max: int = 0
    n_batch: int = 512
    n_ubatch: int = 512
    n_gpu_layers: int = -1
    n_threads: int = 0
    kv_cache_type: str = "f16"
    flash_attention: str = "auto"
    shares_prefixes: bool = False

    def __post_init__(self) -> None:
        if self.n_batch < self.n_seq_max:
            raise ValueError(
                f"n_batch {self.n_batch} is less than n_seq_max {self.n_seq_max}"
            )
