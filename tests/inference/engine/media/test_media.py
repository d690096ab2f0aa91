"""Images among the tokens of a prompt, in plain Python."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from inference.engine.errors import InvalidRequest
from inference.engine.media.encoded_cache import EncodedCache
from inference.engine.media.inputs import ImageInput
from inference.engine.media.spans import (
    MediaSpan,
    fitted,
    media_tokens,
    runs,
    whole,
    words,
)


def span(start: int, count: int, *, is_causal: bool = True) -> MediaSpan:
    return MediaSpan(start, np.zeros((count, 4), np.float32), is_causal)


def test_an_image_has_tokens_of_its_own_below_all_vocabularies() -> None:
    red = media_tokens("red", 0, 5)

    assert red == media_tokens("red", 0, 5)
    assert max(red) < 0
    others = [*media_tokens("blue", 0, 5), *media_tokens("red", 1, 5)]
    assert len({*red, *others}) == 15
    # Of the same image at a place where it has more tokens.
    assert not {*red} & {*media_tokens("red", 0, 6)}
    assert words([1, *red, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("length", "kept"), [(0, 0), (3, 3), (4, 3), (7, 3), (8, 8), (9, 9), (20, 20)]
)
def test_a_prefix_ends_before_or_after_an_image(length: int, kept: int) -> None:
    assert whole([span(3, 5)], length) == kept


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [
        (0, 3, 3),
        (0, 5, 3),  # It would cut the image: the step ends before it.
        (0, 8, 8),
        (3, 2, 5),  # It begins with the image: it has all of it.
        (3, 5, 5),
        (8, 4, 4),
        (0, 0, 0),
    ],
)
def test_an_image_whose_parts_see_each_other_is_computed_at_once(
    start: int, size: int, expected: int
) -> None:
    assert fitted([span(3, 5, is_causal=False)], start, size) == expected
    assert fitted([span(3, 5)], start, size) == size


def test_a_step_is_cut_into_text_and_images() -> None:
    first, second = span(3, 5), span(10, 2)
    pieces = [(a, b, each) for a, b, each in runs([first, second], 1, 11)]

    assert pieces == [(1, 3, None), (3, 8, first), (8, 10, None), (10, 11, second)]
    assert runs([first], 4, 6) == [(4, 6, first)]
    assert runs([first], 8, 9) == [(8, 9, None)]


def test_pixels_are_unpacked_no_further_than_they_may_be() -> None:
    pixels = bytes(range(12))
    assert ImageInput(2, 2, zlib.compress(pixels), "x").content() == pixels
    for packed in (zlib.compress(bytes(10**6)), zlib.compress(b"1"), b"no zlib"):
        with pytest.raises(InvalidRequest):
            ImageInput(2, 2, packed, "x").content()


def test_the_newest_images_are_kept() -> None:
    cache = EncodedCache(100)
    rows = np.zeros(10, np.float32)
    cache.put("a", rows)
    cache.put("b", rows)
    assert cache.get("a") is rows
    cache.put("c", rows)

    assert cache.get("b") is None
    assert cache.get("a") is rows
    assert cache.get("c") is rows
    cache.put("large", np.zeros(30, np.float32))
    assert cache.get("large") is None
    assert cache.get("a") is rows
