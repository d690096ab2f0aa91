"""GGUF files for tests: small ones, right ones and wrong ones, byte by byte.

Tensor data is a hole in the file, so a file of any size takes no space.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.gguf.quantization import TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

STRING, ARRAY = 8, 9
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
F32, F16, Q4_0, Q4_K, Q6_K, Q8_0 = 0, 1, 2, 12, 14, 8
CHAT_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
TOOL_TEMPLATE = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHAT_TEMPLATE


@dataclass(frozen=True)
class Typed:
    """A value of a certain type: 0 is u8, 5 is i32, 12 is f64."""

    type: int
    value: Any


@dataclass(frozen=True)
class Raw:
    """The bytes of a value, its type included, as they are."""

    data: bytes


@dataclass(frozen=True)
class Tensor:
    """A tensor; without an offset it follows the one before."""

    name: str
    shape: tuple[int, ...] = (32,)
    type: int = F32
    offset: int | None = None


TENSORS = (
    Tensor("token_embd.weight", (64, 8), Q4_0),
    Tensor("blk.0.attn_q.weight", (64, 64), Q4_0),
    Tensor("output_norm.weight", (64,), F32),
)


def string(text: str | bytes) -> bytes:
    """Return a GGUF string."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(given: Any) -> bytes:
    """Return a value after its type: an int is u32 if it fits, a float f32."""
    if isinstance(given, Raw):
        return given.data
    if isinstance(given, list | tuple):
        items = [_typed(item) for item in given]
        kind = items[0].type if items else 4
        data = b"".join(_payload(item) for item in items)
        return struct.pack("<IIQ", ARRAY, kind, len(items)) + data
    typed = _typed(given)
    return struct.pack("<I", typed.type) + _payload(typed)


def header(
    fields: Mapping[str, Any] | Sequence[tuple[str | bytes, Any]],
    tensors: Iterable[Tensor] = TENSORS,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    num_fields: int | None = None,
    num_tensors: int | None = None,
    alignment: int = 32,
) -> tuple[bytes, int]:
    """Return the bytes before the tensor data, and how long the file is to be."""
    pairs = list(fields if isinstance(fields, list | tuple) else fields.items())  # type: ignore[union-attr]
    tensors = list(tensors)
    out = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if num_tensors is None else num_tensors,
        len(pairs) if num_fields is None else num_fields,
    )
    for key, given in pairs:
        out += string(key) + value(given)
    end = 0
    for tensor in tensors:
        offset = end if tensor.offset is None else tensor.offset
        out += string(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", length) for length in tensor.shape)
        out += struct.pack("<IQ", tensor.type, offset)
        end = _aligned(offset + _size(tensor), alignment)
    if not tensors:
        return out, len(out)
    data = _aligned(len(out), alignment)
    return out + b"\0" * (data - len(out)), data + end


def write_gguf(path: Path, fields: Any = None, **parts: Any) -> Path:
    """Write a file: a small Llama unless ``fields`` says otherwise."""
    data, size = header(llama_fields() if fields is None else fields, **parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(data)
        stream.truncate(size)
    return path


def write_shards(
    folder: Path, stem: str, total: int, *, leave_out: Iterable[int] = ()
) -> list[Path]:
    """Write a set of shards of one tensor each; return the paths of all of it."""
    paths = []
    for number in range(1, total + 1):
        split = {
            "split.no": Typed(2, number - 1),
            "split.count": Typed(2, total),
            "split.tensors.count": Typed(5, total),
        }
        fields = llama_fields(split) if number == 1 else split
        path = folder / f"{stem}-{number:05}-of-{total:05}.gguf"
        paths.append(path)
        if number not in leave_out:
            tensor = Tensor(f"blk.{number}.attn_q.weight", (64, 64), Q4_0)
            write_gguf(path, fields, tensors=[tensor])
    return paths


def llama_fields(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keys of a chat model; a change to None takes a key out."""
    return _changed(
        {
            "general.architecture": "llama",
            "general.type": "model",
            "general.name": "Tiny Llama",
            "general.size_label": "1B",
            "general.license": "mit",
            "general.file_type": 2,
            "llama.block_count": 4,
            "llama.context_length": 2048,
            "llama.embedding_length": 64,
            "llama.attention.head_count": 8,
            "llama.attention.head_count_kv": 2,
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a"],
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.chat_template": CHAT_TEMPLATE,
        },
        changes,
    )


def bert_fields(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keys of an embedding model."""
    return _changed(
        {
            "general.architecture": "bert",
            "general.file_type": 7,
            "bert.block_count": 2,
            "bert.context_length": 512,
            "bert.embedding_length": 64,
            "bert.attention.head_count": 4,
            "bert.attention.causal": False,
            "bert.pooling_type": 1,
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": ["[PAD]", "[CLS]", "[SEP]"],
        },
        changes,
    )


def mmproj_fields(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keys of a vision projector."""
    return _changed(
        {
            "general.architecture": "clip",
            "general.type": "mmproj",
            "general.file_type": 1,
            "clip.has_vision_encoder": True,
            "clip.vision.embedding_length": 64,
        },
        changes,
    )


def lora_fields(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keys of a LoRA adapter."""
    return _changed(
        {
            "general.architecture": "llama",
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": 16.0,
        },
        changes,
    )


def _changed(
    fields: dict[str, Any], changes: Mapping[str, Any] | None
) -> dict[str, Any]:
    merged = fields | dict(changes or {})
    return {key: each for key, each in merged.items() if each is not None}


def _typed(given: Any) -> Typed:
    if isinstance(given, Typed):
        return given
    if isinstance(given, bool):
        return Typed(7, given)
    if isinstance(given, int):
        small, large = (5, 11) if given < 0 else (4, 10)
        return Typed(small if -(2**31) <= given < 2**32 else large, given)
    if isinstance(given, float):
        return Typed(6, given)
    return Typed(STRING, given)


def _payload(typed: Typed) -> bytes:
    if typed.type == STRING:
        return string(typed.value)
    return struct.pack(f"<{_CODES[typed.type]}", typed.value)


def _size(tensor: Tensor) -> int:
    stored = TENSOR_TYPES.get(tensor.type)
    if stored is None:
        return 0
    elements = 1
    for length in tensor.shape:
        elements *= length
    return elements // stored.elements * stored.size


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
