"""The arithmetic of memory, by numbers that are easily checked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference.capacity.kv_cache_size import (
    KvCacheShape,
    cache_elements,
    caches,
    kv_bytes,
    recurrent_bytes,
)
from inference.capacity.layer_devices import layer_devices
from inference.capacity.machine import Gpu, Machine
from inference.capacity.memory_estimate import estimate_memory
from inference.engine.config.engine_config import EngineConfig
from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths

MIB = 2**20
#: Ten layers of 10 MiB, of which 8 are a matrix in Q4_0.
LAYER = Block(Weights({"Q4_0": 8 * MIB}, 2 * MIB), k=64, v=32)
SHAPE = MemoryShape(
    input=Weights(rest=30 * MIB),
    output=Weights({"Q4_0": 30 * MIB}, MIB),
    blocks=(LAYER,) * 10,
    widths=Widths(embedding=64, feed_forward=256, is_gated=True, heads=4, query=64),
)
NO_REPACKS = Machine(repacks=frozenset())


def gpus(*free: int) -> Machine:
    return Machine(
        gpus=tuple(
            Gpu(f"CUDA{n}", "", 2 * f * MIB, f * MIB) for n, f in enumerate(free)
        )
    )


def config(**fields: Any) -> EngineConfig:
    defaults = {"paths": (), "n_ctx": 1024, "n_seq_max": 2}
    return EngineConfig(**{**defaults, **fields})


def test_kv_bytes_follow_the_types_of_k_and_v() -> None:
    kept = cache_elements(SHAPE.blocks)
    cache = KvCacheShape(1024, 1, 1)
    sizes = {
        (k, v): kv_bytes(kept, config(cache_type_k=k, cache_type_v=v), cache, 0)
        for k, v in (("f16", "f16"), ("q8_0", "f16"), ("f32", "q4_0"))
    }
    assert sizes == {
        ("f16", "f16"): 1024 * (640 + 320) * 2,
        ("q8_0", "f16"): 1024 * (640 * 34 // 32 + 320 * 2),
        ("f32", "q4_0"): 1024 * (640 * 4 + 320 * 18 // 32),
    }


def test_cells_are_rounded_up_stream_by_stream() -> None:
    first, grown = caches(config(n_ctx=1000, n_seq_max=3))
    assert (first.cells_per_stream, first.n_streams, first.n_cells) == (1024, 3, 3072)
    assert grown == first
    first, _ = caches(config(n_cells=1000, n_seq_max=3, kv_layout="unified"))
    assert (first.cells_per_stream, first.n_streams) == (1024, 1)


def test_a_cache_grows_to_fewer_longer_sequences() -> None:
    _, grown = caches(config(n_seq_max=8, n_ctx_max=4096, n_cells_max=8192))
    assert grown == KvCacheShape(8192, 2, 2)
    _, grown = caches(config(n_cells=2048, n_cells_max=8192, kv_layout="unified"))
    assert grown == KvCacheShape(8192, 1, 2)


def test_layers_with_a_window_keep_the_window_and_a_micro_batch() -> None:
    kept = cache_elements([replace(LAYER, is_windowed=True)])
    per_cell = (64 + 32) * 2
    small = config(n_ctx=8192, n_ubatch=128)

    def cells(cache: KvCacheShape, **fields: Any) -> float:
        return kv_bytes(kept, replace(small, **fields), cache, 1000) / per_cell

    assert cells(KvCacheShape(8192, 1, 1)) == 1280
    assert cells(KvCacheShape(4 * 8192, 4, 4)) == 4 * 1280
    # Shared cells hold the windows of all sequences.
    assert cells(KvCacheShape(8192, 1, 4)) == 4352
    assert cells(KvCacheShape(8192, 1, 1), swa_full=True) == 8192
    assert cells(KvCacheShape(512, 1, 1)) == 512


def test_states_are_kept_for_every_sequence() -> None:
    kept = cache_elements([Block(Weights(), state=1000)] * 3)
    assert recurrent_bytes(kept, 8) == 3 * 1000 * 8 * 4


def test_what_is_repacked_leaves_pages_of_the_file_that_nobody_needs() -> None:
    file = 30 * MIB + 100 * MIB + 31 * MIB
    plain = estimate_memory(SHAPE, config(), NO_REPACKS, n_vocab=100)
    assert (plain.host.weights, plain.mapped, plain.stale) == (file, file, 0)
    repacked = estimate_memory(SHAPE, config(), Machine(), n_vocab=100)
    assert repacked.host.weights == file
    assert repacked.stale == 80 * MIB + 30 * MIB
    assert repacked.mapped == file - repacked.stale
    assert repacked.resident == repacked.host.total + repacked.stale
    read = estimate_memory(SHAPE, config(use_mmap=False), Machine(), n_vocab=100)
    assert (read.host.weights, read.mapped, read.stale) == (file, 0, 0)
    locked = estimate_memory(SHAPE, config(use_mlock=True), Machine(), n_vocab=100)
    assert (locked.host.weights, locked.stale) == (file + 110 * MIB, 0)


def test_a_tied_output_is_the_input_unless_it_is_repacked() -> None:
    tied = replace(
        SHAPE,
        is_tied=True,
        input=Weights(rest=30 * MIB),
        output=Weights({"Q4_0": 30 * MIB}),
    )
    assert (
        estimate_memory(tied, config(), NO_REPACKS, n_vocab=1).host.weights == 130 * MIB
    )
    repacked = estimate_memory(tied, config(), Machine(), n_vocab=1)
    assert (repacked.host.weights, repacked.stale) == (160 * MIB, 80 * MIB)
    on_gpu = estimate_memory(tied, config(), gpus(1000), n_vocab=1)
    assert (on_gpu.host.weights, on_gpu.gpus[0].weights) == (30 * MIB, 130 * MIB)


@pytest.mark.parametrize(
    ("fields", "devices"),
    [
        ({}, [1] * 11),
        ({"n_gpu_layers": 0}, [0] * 11),
        ({"n_gpu_layers": 4}, [0] * 7 + [1] * 4),
        ({"n_gpu_layers": 99}, [1] * 11),
    ],
)
def test_the_last_layers_go_to_the_gpu_first(
    fields: dict[str, Any], devices: list[int]
) -> None:
    assert layer_devices(10, config(**fields), gpus(1000)) == devices
    assert layer_devices(10, config(**fields), Machine()) == [0] * 11


def test_layers_are_shared_by_free_memory_or_as_configured() -> None:
    assert layer_devices(11, config(), gpus(100, 200)) == [1] * 4 + [2] * 8
    split = config(tensor_split=(3.0, 1.0))
    assert layer_devices(11, split, gpus(100, 200)) == [1] * 9 + [2] * 3
    one = config(split_mode="none", main_gpu=1)
    assert layer_devices(11, one, gpus(100, 200)) == [2] * 12


def test_what_lies_on_a_gpu_is_not_on_the_host() -> None:
    found = estimate_memory(SHAPE, config(n_gpu_layers=4), gpus(1000), n_vocab=100)
    # The output counts as a layer.
    assert found.gpus[0].weights == 30 * MIB + 31 * MIB
    assert found.host.weights == 30 * MIB + 70 * MIB
    one = 1024 * 96 * 2 * 2
    assert (found.host.kv, found.gpus[0].kv) == (7 * one, 3 * one)
    # Pinned memory for a GPU is never the file's.
    assert found.mapped == 0


def test_rows_are_spread_over_all_gpus() -> None:
    by_rows = config(split_mode="row", tensor_split=(3.0, 1.0))
    found = estimate_memory(SHAPE, by_rows, gpus(500, 500), n_vocab=100)
    weights = [gpu.weights for gpu in found.gpus]
    assert sum(weights) == pytest.approx(131 * MIB, abs=2)
    assert weights[0] == pytest.approx(3 * weights[1], abs=4)


@pytest.mark.parametrize(
    "bigger",
    [
        {"n_ctx": 8192},
        {"n_seq_max": 4},
        {"n_ubatch": 1024, "n_batch": 1024},
        {"n_ctx_max": 8192, "n_cells_max": 16_384},
        {"flash_attention": "off"},
    ],
)
def test_more_of_anything_takes_more_memory(bigger: dict[str, Any]) -> None:
    small = estimate_memory(SHAPE, config(), Machine(), n_vocab=1000).host.total
    assert (
        estimate_memory(SHAPE, config(**bigger), Machine(), n_vocab=1000).host.total
        > small
    )
