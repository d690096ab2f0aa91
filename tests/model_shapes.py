"""Model files in the shapes of well-known models, for llama.cpp to load as such.

Only headers are written; the tensors' data is a hole in the file, and llama.cpp
is asked to allocate nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.gguf_files import Q4_0, Q8_0, Tensor, write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MXFP4 = 39
_CONTEXT = 131_072


def _keys(
    arch: str, layers: int, width: int, vocab: int, **more: Any
) -> dict[str, Any]:
    """Return a header's keys; ``__`` in a name is a dot."""
    keys = {
        "general.architecture": arch,
        "general.type": "model",
        # No vocabulary but its size.
        "tokenizer.ggml.model": "none",
        f"{arch}.block_count": layers,
        f"{arch}.context_length": _CONTEXT,
        f"{arch}.embedding_length": width,
        f"{arch}.vocab_size": vocab,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
    }
    return keys | {f"{arch}.{k.replace('__', '.')}": v for k, v in more.items()}


def _heads(heads: int, heads_kv: Any, size: int) -> dict[str, Any]:
    return {
        "attention__head_count": heads,
        "attention__head_count_kv": heads_kv,
        "attention__key_length": size,
        "attention__value_length": size,
        "rope__dimension_count": size,
    }


def _ends(
    width: int, vocab: int, *, tied: bool = False, norm: str = "output_norm"
) -> list[Tensor]:
    ends = [Tensor("token_embd.weight", (width, vocab), Q4_0), _norm(norm, width)]
    return ends if tied else [*ends, Tensor("output.weight", (width, vocab), Q4_0)]


def _norm(name: str, width: int) -> Tensor:
    return Tensor(f"{name}.weight", (width,))


def _matrix(name: str, *shape: int, kind: int = Q4_0) -> Tensor:
    return Tensor(f"{name}.weight", shape, kind)


def _attention(
    block: str, width: int, heads: int, heads_kv: int, size: int, kind: int = Q4_0
) -> list[Tensor]:
    return [
        _norm(f"{block}.attn_norm", width),
        _matrix(f"{block}.attn_q", width, heads * size, kind=kind),
        _matrix(f"{block}.attn_k", width, heads_kv * size, kind=kind),
        _matrix(f"{block}.attn_v", width, heads_kv * size, kind=kind),
        _matrix(f"{block}.attn_output", heads * size, width, kind=kind),
    ]


def _head_norms(block: str, size: int) -> list[Tensor]:
    return [_norm(f"{block}.attn_q_norm", size), _norm(f"{block}.attn_k_norm", size)]


def _feed_forward(block: str, width: int, inside: int) -> list[Tensor]:
    return [
        _norm(f"{block}.ffn_norm", width),
        _matrix(f"{block}.ffn_gate", width, inside),
        _matrix(f"{block}.ffn_down", inside, width),
        _matrix(f"{block}.ffn_up", width, inside),
    ]


def _experts(
    block: str, width: int, inside: int, count: int, kind: int = Q4_0
) -> list[Tensor]:
    return [
        Tensor(f"{block}.ffn_gate_inp.weight", (width, count)),
        _matrix(f"{block}.ffn_gate_exps", width, inside, count, kind=kind),
        _matrix(f"{block}.ffn_down_exps", inside, width, count, kind=kind),
        _matrix(f"{block}.ffn_up_exps", width, inside, count, kind=kind),
    ]


def _shared_expert(block: str, width: int, inside: int) -> list[Tensor]:
    return [
        _matrix(f"{block}.ffn_gate_shexp", width, inside),
        _matrix(f"{block}.ffn_down_shexp", inside, width),
        _matrix(f"{block}.ffn_up_shexp", width, inside),
    ]


def _blocks(layers: int, make: Callable[[int, str], list[Tensor]]) -> list[Tensor]:
    return [tensor for layer in range(layers) for tensor in make(layer, f"blk.{layer}")]


def llama_8b(path: Path) -> Path:
    """Grouped queries, a feed-forward with a gate."""
    keys = _keys("llama", 32, 4096, 128_256, **_heads(32, 8, 128))
    tensors = _ends(4096, 128_256) + _blocks(
        32,
        lambda _, b: _attention(b, 4096, 32, 8, 128) + _feed_forward(b, 4096, 14_336),
    )
    return write_gguf(
        path, keys | {"llama.feed_forward_length": 14_336}, tensors=tensors
    )


def gemma3_4b(path: Path) -> Path:
    """A sliding window in five of six layers, a tied output."""
    keys = _keys(
        "gemma3",
        34,
        2560,
        262_144,
        feed_forward_length=10_240,
        attention__sliding_window=1024,
        **_heads(8, 4, 256),
    )
    tensors = _ends(2560, 262_144, tied=True) + _blocks(
        34,
        lambda _, b: (
            _attention(b, 2560, 8, 4, 256)
            + _head_norms(b, 256)
            + _feed_forward(b, 2560, 10_240)
            + [
                _norm(f"{b}.post_attention_norm", 2560),
                _norm(f"{b}.post_ffw_norm", 2560),
            ]
        ),
    )
    return write_gguf(path, keys, tensors=tensors)


def qwen3_30b_a3b(path: Path) -> Path:
    """Many small experts, heads that are wider than the embedding."""
    keys = _keys(
        "qwen3moe",
        48,
        2048,
        151_936,
        feed_forward_length=6144,
        expert_feed_forward_length=768,
        expert_count=128,
        expert_used_count=8,
        **_heads(32, 4, 128),
    )
    tensors = _ends(2048, 151_936) + _blocks(
        48,
        lambda _, b: (
            _attention(b, 2048, 32, 4, 128)
            + _head_norms(b, 128)
            + [_norm(f"{b}.ffn_norm", 2048)]
            + _experts(b, 2048, 768, 128)
        ),
    )
    return write_gguf(path, keys, tensors=tensors)


def gpt_oss_20b(path: Path) -> Path:
    """A window in every other layer, experts in MXFP4, biases."""
    keys = _keys(
        "gpt-oss",
        24,
        2880,
        201_088,
        feed_forward_length=2880,
        expert_feed_forward_length=2880,
        expert_count=32,
        expert_used_count=4,
        attention__sliding_window=128,
        **_heads(64, 8, 64),
    )

    def block(_: int, b: str) -> list[Tensor]:
        biases = {
            "attn_q": (64 * 64,),
            "attn_k": (8 * 64,),
            "attn_v": (8 * 64,),
            "attn_output": (2880,),
            "ffn_gate_inp": (32,),
            "ffn_gate_exps": (2880, 32),
            "ffn_up_exps": (2880, 32),
            "ffn_down_exps": (2880, 32),
        }
        return [
            *_attention(b, 2880, 64, 8, 64, Q8_0),
            *_experts(b, 2880, 2880, 32, _MXFP4),
            _norm(f"{b}.post_attention_norm", 2880),
            Tensor(f"{b}.attn_sinks.weight", (64,)),
            *(Tensor(f"{b}.{name}.bias", shape) for name, shape in biases.items()),
        ]

    return write_gguf(path, keys, tensors=_ends(2880, 201_088) + _blocks(24, block))


def deepseek_v2_lite(path: Path) -> Path:
    """Compressed K that holds V as well; shared experts."""
    heads, latent, rope, nope = 16, 512, 64, 128
    keys = _keys(
        "deepseek2",
        27,
        2048,
        102_400,
        attention__head_count=heads,
        attention__head_count_kv=1,
        attention__kv_lora_rank=latent,
        attention__key_length=latent + rope,
        attention__value_length=latent,
        attention__key_length_mla=nope + rope,
        attention__value_length_mla=128,
        rope__dimension_count=rope,
        feed_forward_length=10_944,
        expert_feed_forward_length=1408,
        expert_count=64,
        expert_used_count=6,
        expert_shared_count=2,
        leading_dense_block_count=1,
        expert_weights_scale=1.0,
    )

    def block(layer: int, b: str) -> list[Tensor]:
        attention = [
            _norm(f"{b}.attn_norm", 2048),
            _norm(f"{b}.attn_kv_a_norm", latent),
            _matrix(f"{b}.attn_q", 2048, heads * (nope + rope)),
            _matrix(f"{b}.attn_kv_a_mqa", 2048, latent + rope),
            _matrix(f"{b}.attn_k_b", nope, latent, heads),
            _matrix(f"{b}.attn_v_b", latent, 128, heads),
            _matrix(f"{b}.attn_output", heads * 128, 2048),
        ]
        if layer == 0:
            return attention + _feed_forward(b, 2048, 10_944)
        return [
            *attention,
            _norm(f"{b}.ffn_norm", 2048),
            *_experts(b, 2048, 1408, 64),
            *_shared_expert(b, 2048, 2816),
        ]

    return write_gguf(path, keys, tensors=_ends(2048, 102_400) + _blocks(27, block))


def _mamba2_block(b: str, width: int, state: int, convolved: int) -> list[Tensor]:
    inner = 2 * width
    heads = inner // 64
    return [
        _norm(f"{b}.attn_norm", width),
        _matrix(f"{b}.ssm_in", width, inner + convolved + heads),
        Tensor(f"{b}.ssm_conv1d.weight", (4, convolved)),
        Tensor(f"{b}.ssm_conv1d.bias", (convolved,)),
        Tensor(f"{b}.ssm_dt.bias", (heads,)),
        Tensor(f"{b}.ssm_a", (1, heads)),
        Tensor(f"{b}.ssm_d", (1, heads)),
        Tensor(f"{b}.ssm_norm.weight", (inner, 1)),
        _matrix(f"{b}.ssm_out", inner, width),
    ]


def _mamba2_keys(width: int, state: int) -> dict[str, int]:
    return {
        "ssm__conv_kernel": 4,
        "ssm__inner_size": 2 * width,
        "ssm__state_size": state,
        "ssm__time_step_rank": 2 * width // 64,
        "ssm__group_count": 1,
    }


def mamba2_1b(path: Path) -> Path:
    """No attention at all: a state for every sequence."""
    keys = _keys(
        "mamba2",
        48,
        2048,
        50_288,
        attention__head_count=0,
        feed_forward_length=0,
        **_mamba2_keys(2048, 128),
    )
    tensors = _ends(2048, 50_288, tied=True) + _blocks(
        48, lambda _, b: _mamba2_block(b, 2048, 128, 4096 + 256)
    )
    return write_gguf(path, keys, tensors=tensors)


def granite4_tiny(path: Path) -> Path:
    """Four layers with attention among forty, by KV heads per layer; experts."""
    width, attends = 1536, {5, 15, 25, 35}
    keys = _keys(
        "granitehybrid",
        40,
        width,
        100_352,
        feed_forward_length=512,
        expert_count=64,
        expert_used_count=6,
        expert_shared_feed_forward_length=1024,
        attention__scale=1.0,
        embedding_scale=1.0,
        residual_scale=1.0,
        logit_scale=1.0,
        **_heads(12, [4 if layer in attends else 0 for layer in range(40)], 128),
        **_mamba2_keys(width, 128),
    )

    def block(layer: int, b: str) -> list[Tensor]:
        mixer = (
            _attention(b, width, 12, 4, 128)
            if layer in attends
            else _mamba2_block(b, width, 128, 2 * width + 256)
        )
        return [
            *mixer,
            _norm(f"{b}.ffn_norm", width),
            *_experts(b, width, 512, 64),
            *_shared_expert(b, width, 1024),
        ]

    tensors = _ends(width, 100_352, tied=True) + _blocks(40, block)
    return write_gguf(path, keys, tensors=tensors)


def lfm2_1b(path: Path) -> Path:
    """Short convolutions between layers with attention."""
    width, attends = 2048, {2, 5, 8, 10, 12, 14}
    keys = _keys(
        "lfm2",
        16,
        width,
        65_536,
        shortconv__l_cache=3,
        attention__head_count=32,
        attention__head_count_kv=[8 if n in attends else 0 for n in range(16)],
        feed_forward_length=8192,
    )

    def block(layer: int, b: str) -> list[Tensor]:
        mixer = (
            _attention(b, width, 32, 8, 64) + _head_norms(b, 64)
            if layer in attends
            else [
                _norm(f"{b}.attn_norm", width),
                Tensor(f"{b}.shortconv.conv.weight", (3, width)),
                _matrix(f"{b}.shortconv.in_proj", width, 3 * width),
                _matrix(f"{b}.shortconv.out_proj", width, width),
            ]
        )
        return mixer + _feed_forward(b, width, 8192)

    ends = _ends(width, 65_536, tied=True, norm="token_embd_norm")
    return write_gguf(path, keys, tensors=ends + _blocks(16, block))


SHAPES = {
    make.__name__: make
    for make in (
        llama_8b,
        gemma3_4b,
        qwen3_30b_a3b,
        gpt_oss_20b,
        deepseek_v2_lite,
        mamba2_1b,
        granite4_tiny,
        lfm2_1b,
    )
}
