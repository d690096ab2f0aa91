"""Headers written to do harm: each is refused, at once, within bounded memory."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import InvalidGGUF
from registry.gguf.bounded_reader import MAX_ARRAY_STRINGS, MAX_KEPT_BYTES
from registry.gguf.describe import describe
from registry.gguf.header import GGUFHeader, parse_header
from tests.gguf_files import (
    ARRAY,
    STRING,
    Raw,
    Tensor,
    Typed,
    header,
    llama_fields,
    string,
)
from tests.growth import is_in_proportion

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 2**60
MEMORY_LIMIT = 48 * 1024 * 1024
SECONDS_LIMIT = 5.0


class SparseFile(io.BytesIO):
    """Bytes that go on as zeros up to the size that the file is said to have."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._length = size

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        assert size is not None
        assert size >= 0, "nobody reads to the end of a hostile file"
        data = super().read(size)
        wanted = min(size, self._length - position)
        self.seek(position + wanted)
        return data.ljust(wanted, b"\0")


def refuse(data: bytes, size: int | None = None) -> str:
    """Return why a file is refused; fail if that takes long or much memory."""
    size = len(data) if size is None else size
    stream = SparseFile(data, size)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(InvalidGGUF) as error:
            parse_header(stream, size)
        assert time.process_time() - started < SECONDS_LIMIT
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT
    finally:
        tracemalloc.stop()
    return str(error.value)


def array(kind: int, count: int, data: bytes = b"") -> Raw:
    return Raw(struct.pack("<IIQ", ARRAY, kind, count) + data)


@pytest.mark.parametrize("size", [None, HUGE], ids=["short file", "sparse file"])
@pytest.mark.parametrize(
    "data",
    [
        header({}, num_fields=HUGE)[0],
        header({}, num_tensors=HUGE)[0],
        header({}, num_fields=2**64 - 1, num_tensors=2**64 - 1)[0],
        header([], [], num_fields=1)[0] + struct.pack("<Q", HUGE),
        header([], [], num_tensors=1)[0] + struct.pack("<Q", HUGE),
        header({"a": Raw(struct.pack("<IQ", STRING, HUGE))})[0],
        header({"a": array(STRING, HUGE)})[0],
        header({"a": array(STRING, 2000)})[0] + struct.pack("<Q", HUGE),
        header({"a": array(STRING, 2)})[0] + struct.pack("<Q", HUGE),
        header({"a": array(4, HUGE)})[0],
        header({"a": array(0, 2**64 - 1)})[0],
        header({"a": array(10, 2**64 - 1)})[0],
        header({"a": array(ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 1000)})[0],
        header({"a": array(77, 1)})[0],
        header({"a": Raw(struct.pack("<I", 13))})[0],
        header([("a", 1), ("a", 2)])[0],
        header([(b"\xff", 1), (b"\xfe", 2)])[0],
        header({}, [Tensor("a"), Tensor("a")])[0],
        header({}, [Tensor("a", (1, 1, 1, 1, 1))])[0],
        header({}, [Tensor("a", (2**32, 2**32))])[0],
        header({}, [Tensor("a", (2**64 - 1,))])[0],
        header({}, [Tensor("a", (33,), type=2)])[0],
        header({}, [Tensor("a", offset=1)])[0],
        header({}, [Tensor("a", offset=2**64 - 32)])[0],
        header({}, [Tensor("n" * 300)])[0],
        header({}, [Tensor("a", type=4)])[0],
        header({}, [Tensor("a", type=2**32 - 1)])[0],
        header([("k" * 60_000 + str(number), 1) for number in range(200)])[0],
        header([(b"k" * 70_000, 1)])[0],
        header({"general.alignment": 0})[0],
        header({"general.alignment": 3})[0],
        header({"general.alignment": Typed(5, -32)})[0],
        header({"general.alignment": "32"})[0],
        header({"general.alignment": True})[0],
        header({"general.alignment": [32]})[0],
    ],
)
def test_a_header_that_lies_is_refused(data: bytes, size: int | None) -> None:
    assert refuse(data, size)


def test_a_key_that_occurs_twice_is_named() -> None:
    assert refuse(header([("a", 1), ("a", 2)])[0]) == "the key 'a' occurs twice"


def test_nested_arrays_are_named() -> None:
    assert refuse(header({"x": array(ARRAY, 1)})[0]) == "'x' is an array of arrays"


def test_a_message_does_not_repeat_a_long_name() -> None:
    assert len(refuse(header([("k" * 60_000, 1)] * 2)[0])) < 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header({"a": array(STRING, 10**7)})[0], "strings"),
        (header({"a": array(0, 2**30)}, num_fields=2)[0], "is larger than"),
        (header({}, num_fields=10**6)[0], "keys"),
        (header([], [], num_tensors=10**6)[0], "tensors"),
    ],
)
def test_a_sparse_file_that_holds_what_it_claims_meets_a_bound(
    data: bytes, expected: str
) -> None:
    assert expected in refuse(data, HUGE)


def test_many_small_values_take_no_more_memory_than_a_few_large_ones() -> None:
    fields = [(f"key {number}", ["x"] * 1000) for number in range(300)]
    data, size = header(fields)
    tracemalloc.start()
    try:
        parse_header(io.BytesIO(data.ljust(size, b"\0")), size)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT
    finally:
        tracemalloc.stop()


def test_many_long_strings_are_passed_over_when_the_budget_is_spent() -> None:
    fields = [(f"key {number}", "x" * 1_000_000) for number in range(20)]
    data, size = header(fields)
    kept = parse_header(io.BytesIO(data.ljust(size, b"\0")), size).fields.values()
    total = sum(len(value) for value in kept if isinstance(value, str))
    assert 0 < total <= MAX_KEPT_BYTES


@pytest.mark.no_cover  # It measures processor time.
def test_a_header_of_four_million_strings_takes_time_by_their_number() -> None:
    def read(strings: int) -> None:
        data = header({"a": array(STRING, strings)}, [])[0]
        size = len(data) + 8 * strings
        parse_header(SparseFile(data, size), size)

    assert is_in_proportion(read, MAX_ARRAY_STRINGS)


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    data, size = header(llama_fields())
    with pytest.raises(InvalidGGUF, match="truncated while being read"):
        parse_header(io.BytesIO(data[:100]), size)


def attempt(data: bytes) -> GGUFHeader | None:
    """Parse and describe, or refuse; anything else is an error."""
    try:
        result = parse_header(io.BytesIO(data), len(data))
        describe([result])
    except InvalidGGUF:
        return None
    return result


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert attempt(data) is None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_behind_a_good_beginning_parse_or_are_refused(
    data: bytes,
) -> None:
    attempt(b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + data)


SEED = b"".join(
    (
        header(
            llama_fields(
                {
                    "llama.attention.head_count_kv": [2, 0, 2, 1],
                    "tokenizer.ggml.scores": [0.5] * 8,
                    "x": Typed(12, 1.5),
                }
            )
        )[0],
        b"\0" * 8192,
    )
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(SEED) - 8192 - 1),
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\xff" * 8, b"\0" * 8, struct.pack("<Q", HUGE)]),
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 9000),
)
def test_a_mutated_header_parses_or_is_refused(
    mutations: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(SEED)
    for position, replacement in mutations:
        data[position : position + len(replacement)] = replacement
    attempt(bytes(data[: len(data) - cut]))


SCALARS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(width=32),
    st.booleans(),
    st.text(max_size=8),
    st.binary(max_size=8),
)
KNOWN_KEYS = [*llama_fields(), "llama.pooling_type", "llama.vocab_size"]
KEYS = st.sampled_from(KNOWN_KEYS) | st.text(max_size=12)
VALUES = SCALARS | st.lists(st.integers(0, 2**32 - 1), max_size=5)


@given(st.dictionaries(KEYS, VALUES))
def test_any_value_under_any_key_parses_or_is_refused(
    fields: dict[str, object],
) -> None:
    data, size = header({**llama_fields(), **fields})
    attempt(data.ljust(size, b"\0"))


def test_the_empty_string_is_a_key_like_any(tmp_path: Path) -> None:
    assert attempt(header({"": 1}, [])[0]) is None  # It names no architecture.
    assert string("") == b"\0" * 8
