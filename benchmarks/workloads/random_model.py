"""Models of a real shape with random weights: as fast as the real ones, and as large.

Speed and memory do not depend on what the weights are, so none need to be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Each byte is a token, after the first three.
_SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
    "{% endfor %}assistant:"
)
#: Of the output matrix: one token is clearly the most likely.
_SHARPNESS = 4.0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a model of the architecture llama."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int


SHAPES = {
    # Llama 3.1 8B.
    "8b": ModelShape("8b", 32, 4096, 32, 8, 14_336, 128_256),
    # Llama 3.2 1B.
    "1b": ModelShape("1b", 16, 2048, 32, 8, 8192, 128_256),
    # For trying the checks out.
    "small": ModelShape("small", 4, 512, 8, 2, 1024, 4096),
}
#: llama.cpp's llama_ftype.
FILE_TYPES = {"Q4_K_M": 15, "Q8_0": 7}


def write_random_model(file: Path, shape: ModelShape, quantization: str) -> None:
    """Write a model with one of FILE_TYPES; always the same one."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name(f"random-{shape.name}-{quantization}")
    writer.add_file_type(FILE_TYPES[quantization])
    writer.add_context_length(131_072)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    _add_vocabulary(writer, shape.vocabulary)
    weights = _Weights()
    kv_width = shape.width // shape.heads * shape.kv_heads
    kinds = _kinds(quantization, shape.layers)
    ones = np.ones(shape.width, np.float32)

    def add(name: str, rows: int, columns: int, kind: Kind, scale: float = 1.0) -> None:
        data = weights.of(rows, columns, kind, scale)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind)

    add("token_embd", shape.vocabulary, shape.width, kinds[0])
    for number in range(shape.layers):
        usual, more = kinds[0], kinds[1 + number]
        block = f"blk.{number}"
        writer.add_tensor(f"{block}.attn_norm.weight", ones)
        writer.add_tensor(f"{block}.ffn_norm.weight", ones)
        add(f"{block}.attn_q", shape.width, shape.width, usual)
        add(f"{block}.attn_k", kv_width, shape.width, usual)
        add(f"{block}.attn_v", kv_width, shape.width, more)
        add(f"{block}.attn_output", shape.width, shape.width, usual)
        add(f"{block}.ffn_gate", shape.feed_forward, shape.width, usual)
        add(f"{block}.ffn_up", shape.feed_forward, shape.width, usual)
        add(f"{block}.ffn_down", shape.width, shape.feed_forward, more)
    writer.add_tensor("output_norm.weight", ones)
    add("output", shape.vocabulary, shape.width, kinds[-1], _SHARPNESS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _kinds(quantization: str, layers: int) -> list[Kind]:
    """Return the types: the usual one, V's and FFN down's of each layer, the output's.

    Q4_K_M gives some layers more bits (llama_tensor_get_type in llama-quant.cpp).
    """
    if quantization == "Q8_0":
        return [Kind.Q8_0] * (layers + 2)
    eighth = layers // 8
    more = [
        n < eighth or n >= 7 * layers // 8 or (n - eighth) % 3 == 2
        for n in range(layers)
    ]
    return [Kind.Q4_K, *(Kind.Q6_K if m else Kind.Q4_K for m in more), Kind.Q6_K]


class _Weights:
    """Random blocks; tensors of the same shape and type share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Kind, float], NDArray[np.uint8]] = {}
        self._rng = np.random.default_rng(1)

    def of(
        self, rows: int, columns: int, kind: Kind, scale: float
    ) -> NDArray[np.uint8]:
        key = (rows, columns, kind, scale)
        if key not in self._known:
            elements, size = gguf.GGML_QUANT_SIZES[kind]
            blocks = self._rng.integers(
                0, 256, (rows * columns // elements, size), np.uint8
            )
            # A signal that passes through keeps its size.
            _set_scales(blocks, kind, scale / np.sqrt(columns))
            self._known[key] = blocks.reshape(rows, columns // elements * size)
        return self._known[key]


def _set_scales(blocks: NDArray[np.uint8], kind: Kind, deviation: float) -> None:
    """Set each block's scale so that its weights have about this deviation."""

    def put(start: int, value: float) -> None:
        blocks[:, start : start + 2] = np.array([value], np.float16).view(np.uint8)

    match kind:
        case Kind.Q8_0:
            put(0, deviation / 74)
        case Kind.Q4_K:
            # d * scale * q - dmin * min, of 6-bit scales and mins, and q up to 15.
            put(0, deviation / 200)
            put(2, deviation / 200 * 7.5)
        case Kind.Q6_K:
            put(208, deviation / (74 * 18.5))


def _add_vocabulary(writer: gguf.GGUFWriter, count: int) -> None:
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    others = count - len(_SPECIAL_TOKENS) - len(bytes_)
    # SentencePiece's blank, which is three bytes.
    fillers = ["\u2581", *(f"w{n}" for n in range(others - 1))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*_SPECIAL_TOKENS, *bytes_, *fillers])
    # What is no byte is never read, and written as it is spelled.
    writer.add_token_scores([0.0] * (count - len(fillers)) + [-1e6] * len(fillers))
    writer.add_token_types(
        [
            *kinds,
            *[gguf.TokenType.BYTE] * len(bytes_),
            *[gguf.TokenType.NORMAL] * len(fillers),
        ]
    )
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(_TEMPLATE)
