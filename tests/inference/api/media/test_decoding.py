"""Decoding of image files, in processes that can be killed."""

from __future__ import annotations

import os
import signal
import zlib
from io import BytesIO
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

    from inference.engine.media.inputs import ImageInput

LIMITS: dict[str, int] = {"longest": 64, "most_pixels": 1_000_000}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    pool = DecodingPool(timeout_s=60)
    yield pool
    pool.close()


def decode(pool: DecodingPool, data: bytes, **limits: int) -> ImageInput:
    decoding = pool.decode(lambda: data, client="a", **(limits or LIMITS))
    return decoding.result(120)


def pixels(pool: DecodingPool, data: bytes) -> list[tuple[int, ...]]:
    content = zlib.decompress(decode(pool, data).packed)
    return [tuple(content[at : at + 3]) for at in range(0, len(content), 3)]


def first_pixel(pool: DecodingPool, data: bytes) -> tuple[int, ...]:
    return pixels(pool, data)[0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_files_are_pixels(pool: DecodingPool, kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    found = decode(pool, image_file(kind, (5, 3), **options))

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


def test_grey_of_sixteen_bits_is_grey(pool: DecodingPool) -> None:
    from PIL import Image

    image = Image.new("I;16", (4, 1))
    for at, grey in enumerate((0, 0x1212, 0x8000, 0xFFFF)):
        image.putpixel((at, 0), grey)
    for options, second in (({}, 0x12), ({"transparency": 0x1212}, 0xFF)):
        file = BytesIO()
        image.save(file, "PNG", **options)
        seen = [(grey,) * 3 for grey in (0, second, 0x80, 0xFF)]
        assert pixels(pool, file.getvalue()) == seen


def test_colours_of_a_palette_mix_when_an_image_is_made_smaller(
    pool: DecodingPool,
) -> None:
    from PIL import Image

    image = Image.new("P", (128, 128))
    image.putpalette([*RED, *BLUE])
    for at in range(64):
        image.paste(1, (2 * at, 0, 2 * at + 1, 128))
    file = BytesIO()
    image.save(file, "PNG")

    red, _, blue = pixels(pool, file.getvalue())[64 * 32 + 32]
    assert 100 < red < 155
    assert 100 < blue < 155


def test_a_picture_is_turned_as_its_camera_was(pool: DecodingPool) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(pool, image_file("JPEG", (40, 20), exif=exif))

    assert (found.width, found.height) == (20, 40)


def test_a_large_picture_is_made_smaller(pool: DecodingPool) -> None:
    found = decode(pool, image_file(size=(300, 150)))

    assert (found.width, found.height) == (64, 32)


def test_too_many_pixels_are_refused_before_they_are_decoded(
    pool: DecodingPool,
) -> None:
    with pytest.raises(TooLargeImage, match="50000 x 50000 pixels"):
        decode(pool, huge_png(), longest=64, most_pixels=50_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"no image", image_file()[:-30], b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_what_is_no_image_is_refused(pool: DecodingPool, data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        decode(pool, data)


def test_formats_with_programs_in_them_are_not_read(pool: DecodingPool) -> None:
    with pytest.raises(UndecodableImage, match="none of PNG, JPEG, WEBP, GIF"):
        decode(pool, image_file("TIFF"))


def test_a_process_decodes_many_images(pool: DecodingPool) -> None:
    decode(pool, image_file())
    before = pool.pids
    for _ in range(5):
        decode(pool, image_file())

    assert before
    assert pool.pids == before


def test_a_process_that_dies_fails_one_image(pool: DecodingPool) -> None:
    decode(pool, image_file())
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(UndecodableImage, match="within the time and memory"):
        decode(pool, image_file())

    assert first_pixel(pool, image_file()) == RED
