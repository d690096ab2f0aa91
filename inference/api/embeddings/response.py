"""The answer of POST /v1/embeddings, as types and as bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many numbers are written before other requests run: a millisecond or two.
_YIELD_NUMBERS = 8192


class Embedding(TypedDict):
    """The vector of one input, of length 1: numbers, or base64 if requested."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    """The engine's own count of the tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    """The answer of POST /v1/embeddings: a vector for each input, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


async def vector_texts(
    vectors: Sequence[bytes],
    *,
    dimensions: int | None = None,
    is_base64: bool = False,
) -> list[bytes]:
    """Return each vector as JSON; other requests run between the vectors.

    For millions of numbers the json module would take seconds, and would write each
    float32 with the digits of a float64.
    """
    texts = []
    unyielded = 0
    for vector in vectors:
        vector = shortened(vector, dimensions) if dimensions else vector
        texts.append(_base64(vector) if is_base64 else _numbers(vector))
        unyielded += len(vector) // 4
        if unyielded >= _YIELD_NUMBERS:
            unyielded = 0
            await asyncio.sleep(0)
    return texts


def embedding_list(
    texts: Sequence[bytes], *, model: str, usage: EmbeddingUsage
) -> bytes:
    """Return an EmbeddingList as JSON, of its vectors as JSON."""
    pieces = [
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, text)
        for index, text in enumerate(texts)
    ]
    rest = json.dumps({"model": model, "usage": usage}, ensure_ascii=False)
    return b'{"object":"list","data":[%b],%b' % (b",".join(pieces), rest[1:].encode())


def _base64(vector: bytes) -> bytes:
    return b'"%b"' % base64.b64encode(vector)


def _numbers(vector: bytes) -> bytes:
    """Return the numbers of a vector as a JSON array; nine digits keep a float32."""
    count = len(vector) // 4
    numbers = struct.unpack(f"<{count}f", vector)
    form = ",".join(["%.9g"] * count)
    return f"[{form % numbers}]".encode()


def shortened(vector: bytes, dimensions: int) -> bytes:
    """Return the first numbers of a vector, scaled to length 1."""
    numbers: tuple[Any, ...] = struct.unpack_from(f"<{dimensions}f", vector)
    length = math.sqrt(sum(number * number for number in numbers))
    if not length:
        return vector[: dimensions * 4]
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
