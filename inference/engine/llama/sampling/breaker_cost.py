"""What the sequence breakers of a DRY sampler cost, before llama.cpp pays it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Behind every text that begins with the same bytes: no token of UTF-8 has this byte.
_LAST = b"\xff"


class BreakerCost:
    """Counts the tokenizations of a breaker in one vocabulary, given as its bytes.

    For every token that ends with the first bytes of a breaker, llama.cpp tokenizes the
    rest of the breaker (``get_overlapping_token_sequences``) and keeps the result.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        # Reversed, so that those with one ending are neighbours.
        self._reversed = sorted(piece[::-1] for piece in pieces)

    def of(self, breaker: bytes) -> int:
        """Return how often llama.cpp tokenizes a part of a breaker, at most."""
        return sum(self._ending_with(breaker[:end]) for end in range(1, len(breaker)))

    def _ending_with(self, text: bytes) -> int:
        ending = text[::-1]
        first = bisect_left(self._reversed, ending)
        return bisect_left(self._reversed, ending + _LAST, first) - first
