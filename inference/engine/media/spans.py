"""Where images and sounds stand in the tokens of a prompt.

The engine counts, caches and schedules by tokens. An image takes as many of them as it
has embeddings: their ids are below zero, which no vocabulary has, and are made of the
image's digest, so that for the prefix cache two images differ as two words do. A sound
is to the engine what an image is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Bytes of a digest in a token's id: enough for no two images to meet.
_ID_BYTES = 16
_PLACES = 1 << 32


@dataclass(frozen=True, slots=True, eq=False)
class MediaSpan:
    """The tokens from ``start`` on that an image, or a part of one, takes.

    ``embeddings`` is an array of float32, a row for each token: what the model reads in
    the place of a token's own. Without ``is_causal`` each of them sees all the others,
    so that they are computed together. ``positions`` has a column of four numbers for
    each token, relative to the first: time, height, width and one that is unused; None
    where a token takes one position, as text does. ``num_positions`` is how far the
    text after it moves on. ``is_sound``: it is of a sound.
    """

    start: int
    embeddings: Any
    is_causal: bool = True
    positions: Any = None
    num_positions: int = 0
    is_sound: bool = False

    @property
    def end(self) -> int:
        """The token after the span."""
        return self.start + len(self.embeddings)


@dataclass(frozen=True, slots=True)
class MediaPrompt:
    """The tokens of a prompt with images, and the spans that these take."""

    tokens: list[int]
    spans: tuple[MediaSpan, ...]


def media_tokens(digest: str, part: int, count: int) -> list[int]:
    """Return the ids of ``count`` tokens for a part of the image with this digest.

    Some projectors give an image as many tokens as its place says: other ones each.
    """
    name = hashlib.sha256(f"{digest} {part} {count}".encode()).digest()[:_ID_BYTES]
    first = (int.from_bytes(name) + 1) * _PLACES
    return [-(first + place) for place in range(count)]


def is_media(token: int) -> bool:
    """Whether a token stands for a piece of an image."""
    return token < 0


def words(tokens: Iterable[int]) -> list[int]:
    """Return the tokens that are text."""
    return [token for token in tokens if not is_media(token)]


def whole(spans: Sequence[MediaSpan], length: int) -> int:
    """Return the longest prefix of at most ``length`` tokens that cuts no span."""
    for span in spans:
        if span.start < length < span.end:
            return span.start
    return length


def fitted(spans: Sequence[MediaSpan], start: int, size: int) -> int:
    """Return how many tokens from ``start`` on to compute in a step, if not ``size``.

    A span that is not causal is computed in one step: the step ends before it, or has
    all of it, even if that is more than ``size``.
    """
    end = start + size
    for span in spans:
        if span.is_causal or not span.start < end < span.end:
            continue
        return span.end - start if span.start <= start else span.start - start
    return size


def runs(
    spans: Sequence[MediaSpan], start: int, end: int
) -> list[tuple[int, int, MediaSpan | None]]:
    """Return the pieces of the tokens from ``start`` to ``end``: text, or of a span."""
    found: list[tuple[int, int, MediaSpan | None]] = []
    at = start
    for span in spans:
        if span.end <= at or span.start >= end:
            continue
        if span.start > at:
            found.append((at, span.start, None))
            at = span.start
        found.append((at, min(span.end, end), span))
        at = min(span.end, end)
    if at < end:
        found.append((at, end, None))
    return found
