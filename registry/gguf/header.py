"""GGUF headers: what the first bytes of a model file say about the rest.

Only the header is read, never a tensor's data, so that a file of 100 GB costs
as much as one of 100 MB. Long arrays (the vocabulary, its merges) are counted
and passed over. Nothing that a header claims is believed before the file is
known to hold it, and every claim has a bound, so that a hostile file costs
neither memory nor time. Knows no Django and no meaning of any key but
``general.alignment`` and the ids of special tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from registry.errors import InvalidGGUF
from registry.gguf import infill
from registry.gguf.quantization import TENSOR_TYPES
from registry.gguf.reader import (
    MAX_KEPT_BYTES,
    SCALARS,
    STRIDE,
    U32,
    U64,
    HeaderReader,
    Scalar,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Keys of one header. Models have 20 to 100.
MAX_FIELDS = 16_384
#: Tensors of one file. The largest models have a few thousand.
MAX_TENSORS = 65_536
#: Arrays up to this many items are kept. Arrays by layer have a few hundred.
MAX_KEPT_ITEMS = 1024
#: Strings up to this length are kept. Chat templates have up to 100 KB.
MAX_KEPT_STRING_BYTES = 1024 * 1024
#: The length that the GGUF specification gives keys; llama.cpp's tensor names
#: have 63 bytes, other programs' a little more.
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

# What Python takes for a value besides its text, for MAX_KEPT_BYTES.
_VALUE_BYTES = 64
_STRING = 8
_ARRAY = 9
# What one of these takes in the file at the least: the bound on what a count
# may claim. A field is a key's length, its type and one byte; a tensor is a
# name's length, no dimensions, its type and its offset.
_MIN_FIELD_BYTES = 8 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 4 + 4 + 8

#: Tokens whose texts are read out of the vocabulary: chat templates write them.
SPECIAL_TOKENS = ("bos", "eos")

#: What is often found under the name of a model, by its first bytes.
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
class LongValue:
    """A value that was passed over: an array's items or a string's bytes, counted.

    ``marks`` are positions in the file of every 1,024th string of an array, ``end``
    is where it ends.
    """

    count: int
    marks: tuple[int, ...] = ()
    end: int = 0


Value = Scalar | tuple[Scalar, ...] | LongValue


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header announces it.

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

    ``token_texts`` has the texts of those of ``SPECIAL_TOKENS`` whose ids the
    header names, ``known_tokens`` those of ``infill.TEXTS`` that are tokens.
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
        # A bool is an int to Python, but no number to a header.
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse_header(stream: BinaryIO, size: int) -> GGUFHeader:
    """Return the header of the GGUF file of ``size`` bytes in a seekable ``stream``.

    Raises InvalidGGUF, whose message is the reason, for whatever is not a
    readable GGUF file; and OSError where reading fails.
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
        raise InvalidGGUF("big-endian; llama.cpp reads it on big-endian machines only")
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
        return "not a GGUF file: it begins with zeros, as an unfinished download does"
    return f"not a GGUF file: it begins with {magic!r}"


def _read_fields(reader: HeaderReader, count: int) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for _ in range(count):
        key = reader.string(MAX_KEY_BYTES)
        if key is None:
            raise InvalidGGUF(f"a key is longer than {MAX_KEY_BYTES} bytes")
        if key in fields:
            raise InvalidGGUF(f"the key {_quoted(key)} occurs twice")
        if not reader.keep(len(key) + _VALUE_BYTES):
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
        if count > MAX_KEPT_ITEMS or not reader.keep(count * _VALUE_BYTES):
            return LongValue(count, reader.skip_strings(count), reader.position)
        items = _read_strings(reader, count)
        texts = tuple(item for item in items if isinstance(item, str))
        return texts if len(texts) == count else LongValue(count)
    if kind == _ARRAY:
        raise InvalidGGUF(f"{_quoted(key)} is an array of arrays")
    if kind not in SCALARS:
        raise InvalidGGUF(f"{_quoted(key)} is an array of the unknown type {kind}")
    if count > MAX_KEPT_ITEMS or not reader.keep(count * _VALUE_BYTES):
        reader.skip(count * SCALARS[kind].size)
        return LongValue(count)
    return reader.scalars(kind, count)


def _read_strings(reader: HeaderReader, count: int) -> list[str | LongValue]:
    """Return the next strings; those too long, or too many, only counted."""
    strings: list[str | LongValue] = []
    for _ in range(count):
        length = reader.number(U64)
        if length <= MAX_KEPT_STRING_BYTES and reader.keep(length):
            strings.append(reader.take(length).decode("utf-8", errors="replace"))
        else:
            reader.skip(length)
            strings.append(LongValue(length))
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
        raise InvalidGGUF(f"the alignment {alignment!r} is no power of two")
    return alignment


def _check_data(
    reader: HeaderReader, tensors: Sequence[TensorInfo], alignment: int
) -> None:
    """Refuse a file whose tensors do not follow each other or go beyond its end."""
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
            f"truncated: header says {start + end} bytes, file has {reader.size}"
        )


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _read_token_texts(
    reader: HeaderReader, fields: Mapping[str, Value]
) -> dict[str, str]:
    """Return the text of every special token that the header names by its id."""
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
    if isinstance(tokens, LongValue) and index // STRIDE < len(tokens.marks):
        if index >= tokens.count:
            return None
        reader.position = tokens.marks[index // STRIDE]
        for _ in range(index % STRIDE):
            reader.skip(reader.number(U64))
        return reader.string(MAX_TOKEN_BYTES)
    return None


def _find_tokens(reader: HeaderReader, fields: Mapping[str, Value]) -> frozenset[str]:
    """Return which of the texts of infill tokens the vocabulary seems to have.

    The bytes of a token, length first, are searched for: fast, and only a file made
    for it could have them elsewhere.
    """
    tokens = fields.get("tokenizer.ggml.tokens")
    if isinstance(tokens, tuple):
        return infill.TEXTS.intersection(map(str, tokens))
    if not isinstance(tokens, LongValue) or not tokens.marks:
        return frozenset()
    encoded = {text: text.encode() for text in infill.TEXTS}
    needles = {text: U64.pack(len(data)) + data for text, data in encoded.items()}
    found = reader.search(needles.values(), tokens.marks[0], tokens.end)
    return frozenset(text for text, needle in needles.items() if needle in found)


def _quoted(name: str) -> str:
    """Return a name from the file, short enough for a message."""
    return repr(name if len(name) <= 64 else f"{name[:64]}…")
