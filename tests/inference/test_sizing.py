from __future__ import annotations

from dataclasses import replace

import pytest

from inference.sizing import (
    ModelShape,
    kv_bytes_per_token,
    memory_needed,
    padded_cells,
    sequences_that_fit,
)

# SmolLM2-135M: 30 layers x 3 KV heads x (64 + 64).
SMOL = ModelShape(
    file_size=98_000_000, kv_elements_per_token=11_520, n_embd=576, n_vocab=49_152
)


def test_kv_bytes_follow_the_type() -> None:
    assert kv_bytes_per_token(SMOL, "f16") == 23_040
    assert kv_bytes_per_token(SMOL, "q8_0") == 12_240
    assert kv_bytes_per_token(SMOL, "f32") == 46_080


def test_cells_are_padded_as_llama_cpp_does() -> None:
    assert [padded_cells(n) for n in (1, 256, 257, 4096)] == [256, 256, 512, 4096]


def test_sequences_fill_the_budget() -> None:
    def fit(budget: int, maximum: int = 32) -> int:
        return sequences_that_fit(
            SMOL, n_ctx=4096, kv_cache_type="f16", budget=budget, maximum=maximum
        )

    one = 23_040 * 4096
    assert fit(10 * one) == 10
    assert fit(10 * one - 1) == 9
    assert fit(1) == 1
    assert fit(1000 * one) == 32


def test_a_model_without_kv_cells_gets_the_maximum() -> None:
    recurrent = replace(SMOL, kv_elements_per_token=0)
    count = sequences_that_fit(
        recurrent, n_ctx=4096, kv_cache_type="f16", budget=1, maximum=7
    )
    assert count == 7


@pytest.mark.parametrize("bigger", [{"n_ctx": 8192}, {"n_seq_max": 32}])
def test_more_context_or_sequences_need_more_memory(bigger: dict[str, int]) -> None:
    base = {"n_ctx": 1024, "n_seq_max": 8, "n_batch": 512}
    small = memory_needed(SMOL, kv_cache_type="f16", **base)
    large = memory_needed(SMOL, kv_cache_type="f16", **{**base, **bigger})
    assert small > SMOL.file_size
    assert large - small >= 23_040 * 1024 * 7 * 0.9
