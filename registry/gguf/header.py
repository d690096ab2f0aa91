"""Parses GGUF headers: the keys and the tensor list at the start of a model file.

Only the header is read, never tensor data, so a file of 100 GB takes as long as
one of 100 MB. Long arrays (the vocabulary, its merges) are counted and skipped.
Every length and count is checked against the file's size and a bound, so that a
hostile file costs neither memory nor time. Knows no Django, and of the keys only
``general.alignment`` and the ids of special tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from registry.errors import InvalidGGUF
from registry.gguf import infill
from registry.gguf.bounded_reader import (
    MAX_KEPT_BYTES,
    SCALARS,
    STRIDE,
    U32,
    U64,
    HeaderReader,
    Scalar,
)
from registry.gguf.quantization import TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Most keys of one header. Models have 20 to 100.
MAX_FIELDS = 16_384
#: Most tensors of one file. The largest models have a few thousand.
MAX_TENSORS = 65_536
#: Longer arrays are skipped. Arrays with an item per layer have a few hundred.
MAX_KEPT_ITEMS = 1024
#: Longer strings are skipped. Chat templates have up to 100 KB.
MAX_KEPT_STRING_BYTES = 1024 * 1024
#: The GGUF specification's limit for keys. llama.cpp's tensor names have at most
#: 63 bytes, other programs' a few more.
MAX_KEY_BYTES = 65_535
MAX_TENSOR_NAME_BYTES = 255
#: Special tokens are a few characters long.
MAX_TOKEN_BYTES = 1024
#: llama.cpp's GGML_MAX_DIMS.
MAX_DIMENSIONS = 4
#: llama.cpp counts elements in a signed 64-bit integer.
MAX_ELEMENTS = 2**63 - 1

DEFAULT_ALIGNMENT = 32
VERSIONS = (2, 3)

# Memory of a Python value besides its text, counted against MAX_KEPT_BYTES.
_VALUE_BYTES = 64
_STRING = 8
_ARRAY = 9
# Least bytes of one of these in the file, which bounds a count. A field is a key's
# length, its type and one byte; a tensor is a name's length, no dimensions, its
# type and its offset.
_MIN_FIELD_BYTES = 8 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 4 + 4 + 8

#: Tokens whose texts are read from the vocabulary: chat templates use them.
SPECIAL_TOKENS = ("bos", "eos")

#: Files that are often mistaken for a GGUF file, by their first bytes.
_IMPOSTORS = {
    b"vers": "a Git LFS pointer, not the file itself",
    b"<!DO": "a web page",
    b"<!do": "a web page",
    b"<htm": "a web page",
    b"PK\x03\x04": "a ZIP archive",
    b"lmgg": "an old GGML file, which llama.cpp no longer reads",
    b"fmgg": "an old GGML file, which llama.cpp no longer reads",
    b"tjgg": "an old GGML file, which llama.cpp no longer reads",
}


@dataclass(frozen=True, slots=True)
class SkippedValue:
    """A value too long to keep: only its items (array) or bytes (string) are counted.

    ``offsets`` are the positions in the file of every 1,024th string of an array,
    ``end`` is the position after the last one.
    """

    count: int
    offsets: tuple[int, ...] = ()
    end: int = 0


Value = Scalar | tuple[Scalar, ...] | SkippedValue


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of the header's list.

    ``offset`` is in bytes, from the start of the file's tensor data.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of its data."""
        stored = TENSOR_TYPES[self.type]
        return self.elements // stored.elements * stored.size


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """The header of one file.

    ``token_texts`` has the text of each of ``SPECIAL_TOKENS`` whose id is a key,
    ``known_tokens`` has those of ``infill.TEXTS`` that are in the vocabulary.
    """

    version: int
    fields: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    token_texts: Mapping[str, str]
    known_tokens: frozenset[str]
    file_size: int

    def text(self, key: str) -> str:
        """Return the string under ``key``, or ""."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else ""

    def integer(self, key: str) -> int | None:
        """Return the whole number under ``key``, or None."""
        value = self.fields.get(key)
        # A bool is an int in Python, but not in a header.
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse_header(stream: BinaryIO, size: int) -> GGUFHeader:
    """Return the header of the GGUF file of ``size`` bytes in a seekable ``stream``.

    Raises InvalidGGUF, with the reason as its message, if it is not a readable GGUF
    file, and OSError if reading fails.
    """
    reader = HeaderReader(stream, size)
    version = _read_version(reader)
    num_tensors = reader.number(U64)
    num_fields = reader.number(U64)
    reader.check_count("keys", num_fields, _MIN_FIELD_BYTES, MAX_FIELDS)
    fields = _read_fields(reader, num_fields)
    reader.check_count("tensors", num_tensors, _MIN_TENSOR_BYTES, MAX_TENSORS)
    tensors = _read_tensors(reader, num_tensors)
    _check_data(reader, tensors, _alignment(fields))
    return GGUFHeader(
        version=version,
        fields=MappingProxyType(fields),
        tensors=tensors,
        token_texts=MappingProxyType(_read_token_texts(reader, fields)),
        known_tokens=_find_tokens(reader, fields),
        file_size=size,
    )


def _read_version(reader: HeaderReader) -> int:
    magic = reader.take(4) if reader.size >= 4 else b""
    if magic != b"GGUF":
        raise InvalidGGUF(_wrong_magic(magic))
    version = reader.number(U32)
    if version & 0xFFFF == 0 and version:
        raise InvalidGGUF("big-endian: llama.cpp reads it only on big-endian machines")
    if version not in VERSIONS:
        raise InvalidGGUF(
            f"unsupported GGUF version {version}; versions 2 and 3 are supported"
        )
    return version


def _wrong_magic(magic: bytes) -> str:
    if not magic:
        return "not a GGUF file: it has less than 4 bytes"
    if magic in _IMPOSTORS:
        return f"not a GGUF file: {_IMPOSTORS[magic]}"
    if not magic.strip(b"\0"):
        return "not a GGUF file: it begins with zeros, like an unfinished download"
    return f"not a GGUF file: it begins with {magic!r}"


def _read_fields(reader: HeaderReader, count: int) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for _ in range(count):
        key = reader.string(MAX_KEY_BYTES)
        if key is None:
            raise InvalidGGUF(f"a key is longer than {MAX_KEY_BYTES} bytes")
        if key in fields:
            raise InvalidGGUF(f"the key {_quoted(key)} occurs twice")
        if not reader.reserve(len(key) + _VALUE_BYTES):
            raise InvalidGGUF(f"the keys take more than {MAX_KEPT_BYTES} bytes")
        fields[key] = _read_value(reader, key)
    return fields


def _read_value(reader: HeaderReader, key: str) -> Value:
    kind = reader.number(U32)
    if kind == _STRING:
        return _read_strings(reader, 1)[0]
    if kind == _ARRAY:
        return _read_array(reader, key)
    if kind not in SCALARS:
        raise InvalidGGUF(f"{_quoted(key)} has the unknown type {kind}")
    return reader.scalars(kind, 1)[0]


def _read_array(reader: HeaderReader, key: str) -> Value:
    kind = reader.number(U32)
    count = reader.number(U64)
    if kind == _STRING:
        reader.count_strings(count)
        if count > MAX_KEPT_ITEMS or not reader.reserve(count * _VALUE_BYTES):
            return SkippedValue(count, reader.skip_strings(count), reader.position)
        items = _read_strings(reader, count)
        texts = tuple(item for item in items if isinstance(item, str))
        return texts if len(texts) == count else SkippedValue(count)
    if kind == _ARRAY:
        raise InvalidGGUF(f"{_quoted(key)} is an array of arrays")
    if kind not in SCALARS:
        raise InvalidGGUF(f"{_quoted(key)} is an array of the unknown type {kind}")
    if count > MAX_KEPT_ITEMS or not reader.reserve(count * _VALUE_BYTES):
        reader.skip(count * SCALARS[kind].size)
        return SkippedValue(count)
    return reader.scalars(kind, count)


def _read_strings(reader: HeaderReader, count: int) -> list[str | SkippedValue]:
    """Return the next strings; those that are too long or too many are skipped."""
    strings: list[str | SkippedValue] = []
    for _ in range(count):
        length = reader.number(U64)
        if length <= MAX_KEPT_STRING_BYTES and reader.reserve(length):
            strings.append(reader.take(length).decode("utf-8", errors="replace"))
        else:
            reader.skip(length)
            strings.append(SkippedValue(length))
    return strings


def _read_tensors(reader: HeaderReader, count: int) -> tuple[TensorInfo, ...]:
    tensors = []
    names = set()
    for _ in range(count):
        name = reader.string(MAX_TENSOR_NAME_BYTES)
        if name is None:
            raise InvalidGGUF(
                f"a tensor's name is longer than {MAX_TENSOR_NAME_BYTES} bytes"
            )
        if name in names:
            raise InvalidGGUF(f"the tensor {_quoted(name)} occurs twice")
        names.add(name)
        dimensions = reader.number(U32)
        if dimensions > MAX_DIMENSIONS:
            raise InvalidGGUF(f"the tensor {_quoted(name)} has {dimensions} dimensions")
        shape = tuple(reader.number(U64) for _ in range(dimensions))
        tensor = TensorInfo(name, shape, reader.number(U32), reader.number(U64))
        _check_shape(tensor)
        tensors.append(tensor)
    return tuple(tensors)


def _check_shape(tensor: TensorInfo) -> None:
    if max((*tensor.shape, tensor.elements)) > MAX_ELEMENTS:
        raise InvalidGGUF(
            f"the tensor {_quoted(tensor.name)} has {tensor.elements} elements"
        )
    stored = TENSOR_TYPES.get(tensor.type)
    if stored is None:
        raise InvalidGGUF(
            f"the tensor {_quoted(tensor.name)} has the type {tensor.type}, "
            "which llama.cpp does not know or no longer knows"
        )
    if tensor.shape and tensor.shape[0] % stored.elements:
        raise InvalidGGUF(
            f"the rows of the tensor {_quoted(tensor.name)} have {tensor.shape[0]} "
            f"elements, which {stored.name} cannot store"
        )


def _alignment(fields: Mapping[str, Value]) -> int:
    alignment = fields.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise InvalidGGUF(f"the alignment {alignment!r} is not a power of two")
    return alignment


def _check_data(
    reader: HeaderReader, tensors: Sequence[TensorInfo], alignment: int
) -> None:
    """Raise InvalidGGUF if tensors leave gaps, overlap or end after the file."""
    start = _aligned(reader.position, alignment)
    end = expected = 0
    for tensor in tensors:
        if tensor.offset != expected:
            raise InvalidGGUF(
                f"the tensor {_quoted(tensor.name)} begins at {tensor.offset}, "
                f"the one before it ends at {expected}"
            )
        end = tensor.offset + tensor.size
        expected = _aligned(end, alignment)
    if tensors and start + end > reader.size:
        raise InvalidGGUF(
            f"truncated: the header says {start + end} bytes, "
            f"the file has {reader.size}"
        )


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _read_token_texts(
    reader: HeaderReader, fields: Mapping[str, Value]
) -> dict[str, str]:
    """Return the text of every special token whose id is in the header."""
    tokens = fields.get("tokenizer.ggml.tokens")
    texts = {}
    for name in SPECIAL_TOKENS:
        index = fields.get(f"tokenizer.ggml.{name}_token_id")
        text = _token_text(reader, tokens, index)
        if text is not None:
            texts[name] = text
    return texts


def _token_text(
    reader: HeaderReader, tokens: Value | None, index: Value | None
) -> str | None:
    if type(index) is not int or index < 0:
        return None
    if isinstance(tokens, tuple) and index < len(tokens):
        text = tokens[index]
        return text if isinstance(text, str) else None
    if isinstance(tokens, SkippedValue) and index // STRIDE < len(tokens.offsets):
        if index >= tokens.count:
            return None
        reader.position = tokens.offsets[index // STRIDE]
        for _ in range(index % STRIDE):
            reader.skip(reader.number(U64))
        return reader.string(MAX_TOKEN_BYTES)
    return None


def _find_tokens(reader: HeaderReader, fields: Mapping[str, Value]) -> frozenset[str]:
    """Return the infill tokens that the vocabulary seems to contain.

    Searches for the bytes of each token after its length. That is fast, and only a
    file made on purpose has these bytes elsewhere.
    """
    tokens = fields.get("tokenizer.ggml.tokens")
    if isinstance(tokens, tuple):
        return infill.TEXTS.intersection(map(str, tokens))
    if not isinstance(tokens, SkippedValue) or not tokens.offsets:
        return frozenset()
    encoded = {text: text.encode() for text in infill.TEXTS}
    needles = {text: U64.pack(len(data)) + data for text, data in encoded.items()}
    found = reader.search(needles.values(), tokens.offsets[0], tokens.end)
    return frozenset(text for text, needle in needles.items() if needle in found)


def _quoted(name: str) -> str:
    """Return a name from the file, shortened for a message."""
    return repr(name if len(name) <= 64 else f"{name[:64]}…")
