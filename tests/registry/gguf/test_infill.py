"""Infill tokens in vocabularies that are too long to be kept."""

from __future__ import annotations

import io

import pytest

from registry.gguf.header import parse_header
from registry.gguf.infill import supports_infill
from tests.gguf_files import header

INFILL_TOKENS = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]


@pytest.mark.parametrize("at", [0, 700, 49_997])
@pytest.mark.parametrize(
    "offsets", [INFILL_TOKENS, ["<fim_prefix>!", *INFILL_TOKENS[1:]]]
)
def test_infill_tokens_are_found_wherever_they_are(at: int, offsets: list[str]) -> None:
    tokens = [f"some longer token, number {number}" for number in range(50_000)]
    tokens[at : at + 3] = offsets
    data, size = header({"tokenizer.ggml.tokens": tokens})

    read = parse_header(io.BytesIO(data.ljust(size, b"\0")), size)

    assert supports_infill(read.fields, read.known_tokens) == (offsets == INFILL_TOKENS)
