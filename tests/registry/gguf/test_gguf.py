"""Headers of good files, and of files that are broken as files break."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import pytest

from registry.errors import InvalidGGUF
from registry.gguf.header import GGUFHeader, SkippedValue, parse_header
from tests.gguf_files import Q4_0, Tensor, Typed, header, llama_fields, write_gguf

if TYPE_CHECKING:
    from pathlib import Path


def parse(data: bytes, size: int | None = None) -> GGUFHeader:
    """Parse bytes, padded with zeros to the size of the file."""
    size = len(data) if size is None else size
    return parse_header(io.BytesIO(data.ljust(size, b"\0")), size)


def parse_fields(fields: Any, **parts: Any) -> GGUFHeader:
    return parse(*header(fields, **parts))


def reason(data: bytes, size: int | None = None) -> str:
    with pytest.raises(InvalidGGUF) as error:
        parse(data, size)
    return str(error.value)


def test_every_scalar_type_is_read() -> None:
    values: dict[str, Typed] = {
        "u8": Typed(0, 255),
        "i8": Typed(1, -128),
        "u16": Typed(2, 65_535),
        "i16": Typed(3, -32_768),
        "u32": Typed(4, 2**32 - 1),
        "i32": Typed(5, -(2**31)),
        "f32": Typed(6, 0.5),
        "bool": Typed(7, True),
        "string": Typed(8, "é€😀"),
        "u64": Typed(10, 2**64 - 1),
        "i64": Typed(11, -(2**63)),
        "f64": Typed(12, 0.1),
    }
    fields = parse_fields(values).fields
    assert fields == {key: typed.value for key, typed in values.items()}
    assert fields["bool"] is True


def test_version_2_is_read() -> None:
    assert parse_fields(llama_fields(), version=2).version == 2


def test_a_float_that_is_no_number_is_kept() -> None:
    value = parse_fields({"f": math.nan}).fields["f"]
    assert isinstance(value, float)
    assert math.isnan(value)


def test_tensors_have_names_shapes_types_and_sizes() -> None:
    tensors = parse_fields({}, tensors=[Tensor("a", (64, 3), Q4_0)]).tensors
    assert [(t.name, t.shape, t.type, t.elements, t.size) for t in tensors] == [
        ("a", (64, 3), Q4_0, 192, 192 // 32 * 18)
    ]


def test_short_arrays_are_kept_and_long_ones_counted() -> None:
    fields = parse_fields(
        {"short": [1, 2, 3], "long": [0] * 1025, "texts": ["a"] * 1025, "none": []}
    ).fields
    assert fields["short"] == (1, 2, 3)
    assert fields["none"] == ()
    assert fields["long"] == SkippedValue(1025)
    texts = fields["texts"]
    assert isinstance(texts, SkippedValue)
    assert (texts.count, len(texts.offsets)) == (1025, 2)


def test_a_vocabulary_of_a_hundred_thousand_tokens_is_counted() -> None:
    tokens = [f"token {number}" for number in range(100_000)]
    result = parse_fields(
        {
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.bos_token_id": 99_999,
            "tokenizer.ggml.eos_token_id": 51_234,
            "after": 7,
        }
    )
    long = result.fields["tokenizer.ggml.tokens"]
    assert isinstance(long, SkippedValue)
    assert long.count == 100_000
    assert result.fields["after"] == 7
    assert result.token_texts == {"bos": "token 99999", "eos": "token 51234"}


def test_a_special_token_outside_of_the_vocabulary_has_no_text() -> None:
    for tokens in (["a", "b"], ["a"] * 2000):
        for index in (-1, 5000, 2**63):
            fields: dict[str, Any] = {
                "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.bos_token_id": index,
            }
            assert parse_fields(fields).token_texts == {}


def test_a_string_of_two_megabytes_is_passed_over() -> None:
    fields = parse_fields(
        {"tokenizer.huggingface.json": "x" * 2_000_000, "b": 1}
    ).fields
    assert fields["tokenizer.huggingface.json"] == SkippedValue(2_000_000)
    assert fields["b"] == 1


def test_text_that_is_not_utf_8_is_replaced() -> None:
    assert parse_fields({"a": b"\xff\xfeok"}).fields["a"] == "\ufffd\ufffdok"


def test_an_alignment_of_its_own_is_used() -> None:
    fields = {"general.alignment": 4096}
    data, size = header(fields, alignment=4096)
    assert len(data) % 4096 == 0
    parse(data, size)
    assert reason(data, size - 4096).startswith("truncated: the header says")


def test_a_file_that_lacks_its_last_padding_is_whole() -> None:
    data, size = header({}, [Tensor("a", (33,))])
    parse(data, size - (32 - 33 * 4 % 32))


def test_a_truncated_file_says_how_long_it_should_be() -> None:
    data, size = header(llama_fields())
    assert reason(data, size - 1) == (
        f"truncated: the header says {size} bytes, the file has {size - 1}"
    )


@pytest.mark.parametrize("kept", [4, 8, 20, 30, 100, 400])
def test_a_file_that_ends_inside_its_header_is_truncated(kept: int) -> None:
    data, _ = header(llama_fields())
    assert reason(data[:kept]).startswith("truncated")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "it has less than 4 bytes"),
        (b"GGU", "it has less than 4 bytes"),
        (b"\0" * 100, "it begins with zeros, like an unfinished download"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"PK\x03\x04" + b"\0" * 30, "a ZIP archive"),
        (b"tjgg" + b"\0" * 30, "an old GGML file"),
        (b"\x7fELF" + b"\0" * 30, r"it begins with b'\x7fELF'"),
    ],
)
def test_what_is_not_gguf_is_called_what_it_is(data: bytes, expected: str) -> None:
    assert reason(data).startswith("not a GGUF file: ")
    assert expected in reason(data)


@pytest.mark.parametrize("version", [0, 1, 4, 99])
def test_another_version_is_named(version: int) -> None:
    data, size = header({}, version=version)
    assert f"unsupported GGUF version {version};" in reason(data, size)


def test_a_big_endian_file_is_called_big_endian() -> None:
    data, size = header({}, version=3 << 24)
    assert reason(data, size).startswith("big-endian")


def test_the_sample_model_is_read_without_its_data(sample_model_path: Path) -> None:
    with sample_model_path.open("rb", buffering=0) as stream:
        result = parse_header(stream, sample_model_path.stat().st_size)
        # The header is 1.8 MB of 98; nothing behind it was looked at.
        assert stream.tell() < 2_000_000
    assert len(result.tensors) == 272
    assert result.integer("llama.block_count") == 30
    assert result.token_texts["eos"] == "<|im_end|>"


def test_a_file_of_100_gb_takes_no_longer(tmp_path: Path) -> None:
    size = 100 * 10**9
    tensor = Tensor("a", (size // 4,))
    path = write_gguf(tmp_path / "large.gguf", llama_fields(), tensors=[tensor])
    with path.open("rb", buffering=0) as stream:
        result = parse_header(stream, path.stat().st_size)
        assert stream.tell() <= 64 * 1024
    assert result.file_size > size
