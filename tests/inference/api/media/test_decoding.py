"""Decoding of image files, in processes that can be killed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.media.decoding_pool import (
    DecodingPool,
    TooLargeImage,
    UndecodableImage,
)
from tests.inference.api.media.images import BLUE, RED, huge_png, image_file

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = {"longest": 64, "most_pixels": 1_000_000}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    pool = DecodingPool(timeout_s=60)
    yield pool
    pool.close()


def first_pixel(pool: DecodingPool, data: bytes) -> tuple[int, ...]:
    return tuple(zlib.decompress(pool.decode(data, **LIMITS).packed)[:3])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_files_are_pixels(pool: DecodingPool, kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    found = pool.decode(image_file(kind, (5, 3), **options), **LIMITS)

    assert (found.width, found.height) == (5, 3)
    assert zlib.decompress(found.packed) == bytes(RED) * 15


def test_a_jpeg_is_nearly_what_it_was(pool: DecodingPool) -> None:
    red, green, blue = first_pixel(pool, image_file("JPEG", (16, 16)))

    assert red > 240
    assert max(green, blue) < 15


def test_of_an_animation_the_first_frame_counts(pool: DecodingPool) -> None:
    from PIL import Image

    frames = [Image.new("RGB", (3, 3), BLUE), Image.new("RGB", (3, 3), RED)]
    data = image_file("GIF", (3, 3), RED, save_all=True, append_images=frames)

    assert first_pixel(pool, data) == RED


def test_what_is_transparent_is_white(pool: DecodingPool) -> None:
    assert first_pixel(pool, image_file(mode="RGBA", colour=(9, 9, 9, 0))) == (
        255,
        255,
        255,
    )


def test_a_picture_is_turned_as_its_camera_was(pool: DecodingPool) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    found = pool.decode(image_file("JPEG", (40, 20), exif=exif), **LIMITS)

    assert (found.width, found.height) == (20, 40)


def test_a_large_picture_is_made_smaller(pool: DecodingPool) -> None:
    found = pool.decode(image_file(size=(300, 150)), **LIMITS)

    assert (found.width, found.height) == (64, 32)


def test_too_many_pixels_are_refused_before_they_are_decoded(
    pool: DecodingPool,
) -> None:
    with pytest.raises(TooLargeImage, match="50000 x 50000 pixels"):
        pool.decode(huge_png(), longest=64, most_pixels=50_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"no image", image_file()[:-30], b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_what_is_no_image_is_refused(pool: DecodingPool, data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        pool.decode(data, **LIMITS)


def test_formats_with_programs_in_them_are_not_read(pool: DecodingPool) -> None:
    with pytest.raises(UndecodableImage, match="none of PNG, JPEG, WEBP, GIF"):
        pool.decode(image_file("TIFF"), **LIMITS)


def test_a_process_decodes_many_images(pool: DecodingPool) -> None:
    pool.decode(image_file(), **LIMITS)
    children = set(pool._children)
    for _ in range(5):
        pool.decode(image_file(), **LIMITS)

    assert children
    assert pool._children == children


def test_a_process_that_dies_fails_one_image(pool: DecodingPool) -> None:
    pool.decode(image_file(), **LIMITS)
    for child in list(pool._children):
        child.kill()
        child.wait(60)
    with pytest.raises(UndecodableImage, match="within the time and memory"):
        pool.decode(image_file(), **LIMITS)

    assert first_pixel(pool, image_file()) == RED
