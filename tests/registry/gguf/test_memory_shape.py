"""What of a header decides a model's memory, layer by layer."""

from __future__ import annotations

import io
from typing import Any

import pytest

from registry.gguf.header import parse_header
from registry.gguf.memory_shape import Block, MemoryShape, Weights, memory_shape
from tests.gguf_files import F16, F32, Q4_0, Q8_0, Tensor, header, llama_fields

LAYERS = 4
TENSORS = [
    Tensor("token_embd.weight", (64, 16), Q4_0),
    *(
        tensor
        for layer in range(LAYERS)
        for tensor in (
            Tensor(f"blk.{layer}.attn_norm.weight", (64,), F32),
            Tensor(f"blk.{layer}.attn_output.weight", (64, 64), Q4_0),
            Tensor(f"blk.{layer}.ffn_down.weight", (128, 64), Q8_0),
            Tensor(f"blk.{layer}.ffn_up.weight", (64, 128), Q8_0),
            Tensor(f"blk.{layer}.ffn_gate.weight", (64, 128), Q8_0),
        )
    ),
    Tensor("output_norm.weight", (64,), F32),
    Tensor("output.weight", (64, 16), F16),
]


def shape(
    architecture: str = "llama", tensors: list[Tensor] | None = None, **changes: Any
) -> MemoryShape:
    found = shape_or_none(architecture, tensors, **changes)
    assert found is not None
    assert MemoryShape.from_json(found.as_json()) == found
    return found


def shape_or_none(
    architecture: str = "llama", tensors: list[Tensor] | None = None, **changes: Any
) -> MemoryShape | None:
    named = {f"llama.{key.replace('__', '.')}": v for key, v in changes.items()}
    fields = {
        key.replace("llama.", f"{architecture}."): value
        for key, value in llama_fields(named).items()
    }
    data, size = header(fields, TENSORS if tensors is None else tensors)
    return memory_shape([parse_header(io.BytesIO(data), size)], architecture)


def kept(found: MemoryShape) -> list[tuple[int, int]]:
    return [(block.k, block.v) for block in found.blocks]


def windows(found: MemoryShape) -> str:
    return "".join(".w"[block.is_windowed] for block in found.blocks)


def states(found: MemoryShape) -> list[int]:
    return [block.state for block in found.blocks]


def test_weights_are_summed_by_layer_and_type() -> None:
    found = shape()
    q4_0 = 64 * 64 // 32 * 18
    q8_0 = 3 * 64 * 128 // 32 * 34
    assert (
        found.blocks
        == (Block(Weights({"Q4_0": q4_0, "Q8_0": q8_0}, 64 * 4), k=16, v=16),) * LAYERS
    )
    assert found.input == Weights(rest=64 * 16 // 32 * 18)
    assert found.output == Weights({"F16": 64 * 16 * 2}, 64 * 4)
    assert not found.is_tied


def test_equal_neighbouring_layers_are_written_once() -> None:
    assert [count for count, _ in shape().as_json()["blocks"]] == [LAYERS]


def test_a_model_without_an_output_matrix_uses_its_input() -> None:
    found = shape(tensors=[t for t in TENSORS if t.name != "output.weight"])
    assert found.is_tied
    assert found.output == Weights({"Q4_0": 64 * 16 // 32 * 18}, 64 * 4)


def test_what_kernels_cannot_take_is_no_matrix() -> None:
    odd = Tensor("blk.0.attn_q.weight", (64, 12), Q4_0)
    cube = Tensor("blk.0.attn_k_b.weight", (64, 16, 2), Q4_0)
    experts = Tensor("blk.0.ffn_up_exps.weight", (64, 16, 2), Q4_0)
    first = shape(tensors=[odd, cube, experts]).blocks[0].weights
    assert first.matrices == {"Q4_0": 64 * 32 // 32 * 18}
    assert first.rest == (64 * 12 + 64 * 32) // 32 * 18


def test_widths_are_the_tensors() -> None:
    widths = shape(expert_used_count=2).widths
    assert (widths.embedding, widths.feed_forward, widths.query) == (64, 128, 64)
    assert (widths.heads, widths.head_k, widths.head_v) == (8, 8, 8)
    assert widths.is_gated
    assert widths.experts_used == 2
    ungated = [t for t in TENSORS if "gate" not in t.name]
    assert not shape(tensors=ungated).widths.is_gated


def test_heads_may_differ_from_layer_to_layer() -> None:
    found = shape(attention__head_count_kv=[2, 0, 4, 0])
    assert kept(found) == [(16, 16), (0, 0), (32, 32), (0, 0)]


def test_compressed_k_holds_v() -> None:
    found = shape(
        "deepseek2",
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
        attention__kv_lora_rank=512,
    )
    assert kept(found) == [(576, 0)] * LAYERS
    assert found.is_mla
    assert found.widths.latent == 512


@pytest.mark.parametrize(
    ("architecture", "changes", "layers"),
    [
        ("llama", {"attention__sliding_window": 512}, "...."),
        ("phi3", {"attention__sliding_window": 512}, "...."),
        ("gemma2", {}, "w.w."),
        ("gemma3", {"attention__sliding_window": 512}, "wwww"),
        ("gpt-oss", {"attention__sliding_window": 128}, "w.w."),
        ("cohere2moe", {"attention__sliding_window": 128}, ".www"),
        ("llama4", {}, "www."),
        ("llama4", {"attention__sliding_window": 0}, "...."),
        ("exaone4", {}, "...."),
        (
            "gemma3",
            {"attention__sliding_window": 9, "attention__sliding_window_pattern": 2},
            "w.w.",
        ),
        (
            "gemma4",
            {
                "attention__sliding_window": 9,
                "attention__sliding_window_pattern": [True, False, False, True],
            },
            "w..w",
        ),
    ],
)
def test_windows_are_those_that_llama_cpp_knows(
    architecture: str, changes: dict[str, Any], layers: str
) -> None:
    found = shape(architecture, **changes)
    assert windows(found) == layers
    assert bool(found.window) == ("w" in layers)


def test_heads_of_layers_with_a_window_may_have_their_own_size() -> None:
    found = shape(
        "gemma4",
        attention__sliding_window=9,
        attention__sliding_window_pattern=[True, False, True, False],
        attention__key_length=512,
        attention__value_length=512,
        attention__key_length_swa=256,
        attention__value_length_swa=256,
    )
    assert kept(found) == [(512, 512), (1024, 1024)] * 2


def test_layers_that_use_the_kv_of_others_have_none() -> None:
    found = shape("gemma4", attention__shared_kv_layers=3)
    assert kept(found) == [(16, 16)] + [(0, 0)] * 3


def test_layers_that_look_ahead_are_not_loaded() -> None:
    assert kept(shape("glm4moe", nextn_predict_layers=1))[-1] == (0, 0)


def test_encoders_keep_nothing() -> None:
    assert kept(shape("bert")) == [(0, 0)] * LAYERS


MAMBA: dict[str, Any] = {
    "ssm__conv_kernel": 4,
    "ssm__inner_size": 128,
    "ssm__state_size": 16,
    "ssm__group_count": 1,
}


def test_recurrent_layers_keep_a_state_of_every_sequence() -> None:
    state = 3 * (128 + 2 * 16) + 16 * 128
    found = shape("mamba2", attention__head_count=0, **MAMBA)
    assert states(found) == [state] * LAYERS
    assert kept(found) == [(0, 0)] * LAYERS
    hybrid = shape("jamba", attention__head_count_kv=[0, 2, 0, 0], **MAMBA)
    assert states(hybrid) == [state, 0, state, state]
    assert kept(hybrid)[1] == (16, 16)
    both = shape("falcon-h1", **MAMBA)
    assert (states(both)[0], kept(both)[0]) == (state, (16, 16))
    every_fourth = shape("qwen3next", **MAMBA)
    assert states(every_fourth) == [state] * 3 + [0]
    assert kept(every_fourth)[:3] == [(0, 0)] * 3


def test_other_states_have_their_own_size() -> None:
    short = shape("lfm2", shortconv__l_cache=3, attention__head_count_kv=[0, 2, 0, 0])
    assert states(short) == [128, 0, 128, 128]
    rwkv = shape("rwkv7", wkv__head_size=16, attention__head_count=0)
    assert states(rwkv) == [2 * 64 + 64 * 16] * LAYERS


@pytest.mark.parametrize(
    "changes",
    [
        {"block_count": None},
        {"block_count": 0},
        {"block_count": 2**31},
        {"embedding_length": None},
        {"attention__head_count": None, "attention__head_count_kv": None},
        {"attention__head_count_kv": 2**63},
        {"attention__key_length": 2**62},
    ],
)
def test_a_header_that_says_too_little_or_too_much_has_no_shape(
    changes: dict[str, Any],
) -> None:
    assert shape_or_none(**changes) is None


def test_a_shape_of_many_layers_is_small() -> None:
    found = shape(block_count=1024)
    assert len(found.blocks) == 1024
    assert len(str(found.as_json())) < 2000
