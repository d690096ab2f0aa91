"""Hashes of the beginnings of a prompt: two prompts share one as far as they are alike.

Web processes and workers compute the same ones, without a vocabulary, and a prefix of
one owner has other hashes than the same text of another one.
"""

from __future__ import annotations

import json
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.engine.request import GenerationRequest

#: The distance between hashed beginnings, in bytes: some 30 tokens of English ...
_STEP = 128
#: ... and further on in long prompts, where less precision is enough.
_LONG_STEP = 1024
_LONG_FROM = 4096


#: The hash of each beginning, short ones first, and its share of the whole prompt.
PrefixHashes = tuple[tuple[int, float], ...]


def prefix_hashes(queue: str, request: GenerationRequest) -> PrefixHashes:
    """Return the hashes of a prompt for a model's queue.

    A prompt below 128 bytes has none.
    """
    prompt = request.prompt.encode(errors="surrogatepass")
    if request.prompt_token_ids:
        prompt = array("i", request.prompt_token_ids).tobytes()
    scope = [queue, request.owner, request.adapters, bool(request.prompt_token_ids)]
    hasher = blake2b(json.dumps(scope).encode(), digest_size=8)
    found, begin = [], 0
    for end in _ends(len(prompt)):
        hasher.update(prompt[begin:end])
        number = int.from_bytes(hasher.copy().digest())
        found.append((number, end / len(prompt)))
        begin = end
    return tuple(found)


def _ends(length: int) -> Iterator[int]:
    yield from range(_STEP, min(length, _LONG_FROM) + 1, _STEP)
    yield from range(_LONG_FROM + _LONG_STEP, length + 1, _LONG_STEP)
