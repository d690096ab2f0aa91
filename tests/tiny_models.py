"""GGUF models of every kind for tests: a few narrow layers, random weights.

They are nonsense, but computed as the real ones are: what one forgets or mixes up
between sequences changes what it says next. Each has as vocabulary the 256 bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

#: The positions that a sliding window sees.
WINDOW = 32
#: Of the vocabulary's beginning: unknown, begin and end; the bytes come after.
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")

_WIDTH, _HEADS, _KV_HEADS, _FEED_FORWARD = 64, 4, 2, 96
_HEAD = _WIDTH // _HEADS
_KV_WIDTH = _HEAD * _KV_HEADS
_EXPERTS = 4
_INNER, _STATE, _CONV = 2 * _WIDTH, 8, 4
_SSM_HEADS = 8
_LORA, _ROPE = 32, 8

#: Names and shapes, the innermost dimension first, as llama.cpp writes them.
Shapes = dict[str, tuple[int, ...]]

_QKV: Shapes = {
    "attn_norm.weight": (_WIDTH,),
    "attn_q.weight": (_WIDTH, _WIDTH),
    "attn_k.weight": (_WIDTH, _KV_WIDTH),
    "attn_v.weight": (_WIDTH, _KV_WIDTH),
    "attn_output.weight": (_WIDTH, _WIDTH),
}
_QK_NORMS: Shapes = {"attn_q_norm.weight": (_HEAD,), "attn_k_norm.weight": (_HEAD,)}
_LATENT: Shapes = {
    "attn_norm.weight": (_WIDTH,),
    "attn_q_a.weight": (_WIDTH, _LORA),
    "attn_q_a_norm.weight": (_LORA,),
    "attn_q_b.weight": (_LORA, _HEADS * _HEAD),
    "attn_kv_a_mqa.weight": (_WIDTH, _LORA + _ROPE),
    "attn_kv_a_norm.weight": (_LORA,),
    "attn_k_b.weight": (_HEAD - _ROPE, _LORA, _HEADS),
    "attn_v_b.weight": (_LORA, _HEAD, _HEADS),
    "attn_output.weight": (_HEADS * _HEAD, _WIDTH),
}
_DENSE: Shapes = {
    "ffn_norm.weight": (_WIDTH,),
    "ffn_gate.weight": (_WIDTH, _FEED_FORWARD),
    "ffn_up.weight": (_WIDTH, _FEED_FORWARD),
    "ffn_down.weight": (_FEED_FORWARD, _WIDTH),
}
#: Its file lacks the suffix of one name.
_DENSE_OF_FALCON: Shapes = {
    name.replace("norm.weight", "norm"): shape for name, shape in _DENSE.items()
}
_MIXTURE: Shapes = {
    "ffn_norm.weight": (_WIDTH,),
    "ffn_gate_inp.weight": (_WIDTH, _EXPERTS),
    "ffn_gate_exps.weight": (_WIDTH, _FEED_FORWARD, _EXPERTS),
    "ffn_up_exps.weight": (_WIDTH, _FEED_FORWARD, _EXPERTS),
    "ffn_down_exps.weight": (_FEED_FORWARD, _WIDTH, _EXPERTS),
}
_MAMBA: Shapes = {
    "attn_norm.weight": (_WIDTH,),
    "ssm_in.weight": (_WIDTH, 2 * _INNER),
    "ssm_conv1d.weight": (_CONV, _INNER),
    "ssm_conv1d.bias": (_INNER,),
    "ssm_x.weight": (_INNER, _SSM_HEADS + 2 * _STATE),
    "ssm_dt.weight": (_SSM_HEADS, _INNER),
    "ssm_dt.bias": (_INNER,),
    "ssm_a": (_STATE, _INNER),
    "ssm_d": (_INNER,),
    "ssm_out.weight": (_INNER, _WIDTH),
}
_JAMBA_NORMS: Shapes = {
    "ssm_dt_norm.weight": (_SSM_HEADS,),
    "ssm_b_norm.weight": (_STATE,),
    "ssm_c_norm.weight": (_STATE,),
}
_MAMBA2: Shapes = {
    "ssm_in.weight": (_WIDTH, 2 * _INNER + 2 * _STATE + _SSM_HEADS),
    "ssm_conv1d.weight": (_CONV, _INNER + 2 * _STATE),
    "ssm_conv1d.bias": (_INNER + 2 * _STATE,),
    "ssm_dt.bias": (_SSM_HEADS,),
    "ssm_a": (1, _SSM_HEADS),
    "ssm_d": (1, _SSM_HEADS),
    "ssm_norm.weight": (_INNER, 1),
    "ssm_out.weight": (_INNER, _WIDTH),
}
_SHORT_CONVOLUTION: Shapes = {
    "attn_norm.weight": (_WIDTH,),
    "shortconv.conv.weight": (_CONV, _WIDTH),
    "shortconv.in_proj.weight": (_WIDTH, 3 * _WIDTH),
    "shortconv.out_proj.weight": (_WIDTH, _WIDTH),
}

_QUERY_OR_KEY = re.compile(r"attn_[qk](_b|_norm)?\.")
_SSM = {
    "ssm.conv_kernel": _CONV,
    "ssm.inner_size": _INNER,
    "ssm.state_size": _STATE,
    "ssm.time_step_rank": _SSM_HEADS,
}


@dataclass(frozen=True)
class _Kind:
    """An architecture of llama.cpp: its layers, and what else it needs."""

    architecture: str
    layers: tuple[Shapes, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    output_norm: str = "output_norm.weight"


KINDS: dict[str, _Kind] = {
    "llama": _Kind("llama", (_QKV | _DENSE,) * 2),
    "mixture of experts": _Kind(
        "llama",
        (_QKV | _MIXTURE,) * 2,
        {"expert_count": _EXPERTS, "expert_used_count": 2},
    ),
    "positions in three dimensions": _Kind(
        "qwen2vl",
        (_QKV | _DENSE,) * 2,
        {"rope.dimension_sections": [2, 3, 3, 0]},
    ),
    "latent attention": _Kind(
        "deepseek2",
        (_LATENT | _DENSE,) * 3,
        {
            "leading_dense_block_count": 3,
            "attention.head_count_kv": 1,
            "attention.q_lora_rank": _LORA,
            "attention.kv_lora_rank": _LORA,
            "attention.key_length": _LORA + _ROPE,
            "attention.value_length": _LORA,
            "attention.key_length_mla": _HEAD,
            "attention.value_length_mla": _HEAD,
            "rope.dimension_count": _ROPE,
            "expert_feed_forward_length": _FEED_FORWARD,
            "expert_shared_count": 1,
        },
    ),
    "sliding window": _Kind(
        "granite_swa",
        (_QKV | _DENSE | {"attn_sinks.weight": (_HEADS,)},) * 2,
        {
            "attention.sliding_window": WINDOW,
            "attention.sliding_window_pattern": [True, False],
            "logit_scale": 1.0,
        },
    ),
    "recurrent": _Kind("mamba", (_MAMBA,) * 2, _SSM),
    "hybrid": _Kind(
        "jamba",
        (_MAMBA | _JAMBA_NORMS | _DENSE, _QKV | _DENSE),
        _SSM | {"attention.head_count_kv": [0, _KV_HEADS]},
    ),
    "hybrid in each layer": _Kind(
        "falcon-h1",
        (_QKV | _MAMBA2 | _DENSE_OF_FALCON,) * 2,
        _SSM | {"ssm.group_count": 1},
    ),
    "hybrid with a sliding window": _Kind(
        "lfm2",
        (_SHORT_CONVOLUTION | _DENSE, _QKV | _QK_NORMS | _DENSE),
        {
            "shortconv.l_cache": _CONV,
            "attention.head_count_kv": [0, _KV_HEADS],
            "attention.sliding_window": WINDOW,
        },
        output_norm="token_embd_norm.weight",
    ),
}


def write_tiny_model(
    kind: str, path: Path, *, n_ctx: int = 4096, chat_template: str = ""
) -> None:
    """Write a model of this kind, always the same one; some 0.5 MB."""
    model = KINDS[kind]
    writer = gguf.GGUFWriter(path, model.architecture)
    settings = {
        "context_length": n_ctx,
        "block_count": len(model.layers),
        "embedding_length": _WIDTH,
        "feed_forward_length": _FEED_FORWARD,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": _KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
    } | dict(model.settings)
    for name, value in settings.items():
        _add(writer, f"{model.architecture}.{name}", value)
    _add_vocabulary(writer)
    if chat_template:
        writer.add_chat_template(chat_template)
    rng = np.random.default_rng(1)
    n_vocab = len(SPECIAL_TOKENS) + 256
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_WIDTH, n_vocab),
        model.output_norm: (_WIDTH,),
        "output.weight": (_WIDTH, n_vocab),
    }
    for number, layer in enumerate(model.layers):
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    for name, shape in shapes.items():
        writer.add_tensor(name, _weights(rng, name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    writer.add_token_list([*SPECIAL_TOKENS, *spelled])
    writer.add_token_scores([0.0] * (len(kinds) + 256))
    writer.add_token_types([*kinds, *[gguf.TokenType.BYTE] * 256])
    writer.add_add_space_prefix(False)


def _weights(
    rng: np.random.Generator, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return weights with which a signal neither fades nor explodes.

    Attention is sharp, and states decay slowly, so that what was long ago counts.
    """
    values = rng.standard_normal(shape[::-1], np.float32)
    sharpness = 2 if _QUERY_OR_KEY.search(name) else 1
    if "norm" in name or name.endswith("ssm_d"):
        return sharpness * (1 + 0.1 * values)
    if name.endswith("ssm_a"):
        return -np.exp(values - 3)
    if name.endswith("ssm_dt.bias"):
        return values - 3
    if len(shape) > 1 and name != "token_embd.weight":
        values /= np.sqrt(shape[0])
    return sharpness * values
