"""Decoding of image and sound files, in processes that can be killed."""

from __future__ import annotations

import os
import signal
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from inference.api.media.decoding_pool import (
    DecodingPool,
    OversizedFile,
    UndecodableFile,
)
from tests.inference.api.media.images import BLUE, RED, huge_png, image_file
from tests.sound_files import tune, wav_file

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
    decoding = pool.decode_image(lambda: data, client="a", **(limits or LIMITS))
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
    with pytest.raises(OversizedFile, match="50000 x 50000 pixels"):
        decode(pool, huge_png(), longest=64, most_pixels=50_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"no image", image_file()[:-30], b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_what_is_no_image_is_refused(pool: DecodingPool, data: bytes) -> None:
    with pytest.raises(UndecodableFile):
        decode(pool, data)


def test_formats_with_programs_in_them_are_not_read(pool: DecodingPool) -> None:
    with pytest.raises(UndecodableFile, match="none of PNG, JPEG, WEBP, GIF"):
        decode(pool, image_file("TIFF"))


def test_a_process_decodes_many_images(pool: DecodingPool) -> None:
    decode(pool, image_file())
    before = pool.pids
    for _ in range(5):
        decode(pool, image_file())

    assert before
    assert pool.pids == before


def test_a_process_that_dies_fails_one_image(pool: DecodingPool) -> None:
    def dies() -> bytes:
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        return image_file()

    dying = pool.decode_image(dies, client="a", **LIMITS)
    with pytest.raises(UndecodableFile, match="within the time and memory"):
        dying.result(120)

    assert first_pixel(pool, image_file()) == RED


def test_a_process_that_died_since_its_last_image_fails_none(
    pool: DecodingPool,
) -> None:
    decode(pool, image_file())
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert first_pixel(pool, image_file()) == RED


@pytest.mark.parametrize("bits", [8, 16, 24, 32, -32])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_are_samples_of_one_channel(
    pool: DecodingPool, bits: int, channels: int
) -> None:
    played = tune(0.3, 16_000, channels)
    data = wav_file(played, 16_000, bits)
    found = pool.decode_sound(
        lambda: data, "wav", client="a", rate=16_000, most_s=1
    ).result(120)

    samples = np.frombuffer(zlib.decompress(found.packed), "<f4")
    assert (found.rate, found.num_samples) == (16_000, len(played))
    # What 8 bits lose.
    assert np.abs(samples - played.mean(axis=1)).max() < 1 / 64


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_a_sound_of_another_rate_is_as_long(pool: DecodingPool, rate: int) -> None:
    data = wav_file(tune(0.5, rate), rate)
    found = pool.decode_sound(
        lambda: data, "wav", client="a", rate=16_000, most_s=1
    ).result(120)

    assert found.seconds == pytest.approx(0.5, abs=0.001)


def test_no_more_of_a_long_sound_is_decoded_than_may_be(pool: DecodingPool) -> None:
    # More than an hour of silence: a frame takes as little.
    frame = b"\xff\xf3\x14\xc4" + bytes(20)
    with pytest.raises(OversizedFile, match="longer than 5 s"):
        pool.decode_sound(
            lambda: frame * 200_000, "mp3", client="a", rate=16_000, most_s=5
        ).result(120)
