"""How one model is loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker needs to know to load a model.

    ``paths`` are all shards in order. ``n_ctx`` counts tokens of one sequence;
    ``n_seq_max`` sequences have a KV stream each (split layout), so the cache
    has ``n_ctx * n_seq_max`` cells. ``n_gpu_layers`` -1 is all. ``n_threads`` 0
    is one per physical core. Raises ValueError if a step of ``n_batch`` tokens
    could not carry one of every sequence.
    """

    paths: tuple[str, ...]
    n_ctx: int
    n_seq_max: int
    n_batch: int = 512
    n_gpu_layers: int = -1
    n_threads: int = 0
    kv_cache_type: str = "f16"
    flash_attention: str = "auto"

    def __post_init__(self) -> None:
        if self.n_batch < self.n_seq_max:
            raise ValueError(
                f"n_batch {self.n_batch} is less than n_seq_max {self.n_seq_max}"
            )
