"""Thousands of damaged files: each is read or refused, nothing else happens."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.api.media.decoding_pool import DecodingPool, UndecodableFile
from inference.engine import EngineConfig
from inference.engine.llama import LlamaBackend
from tests.inference.api.media.images import RED, image_file
from tests.sound_files import MP3, tune, wav_file
from tests.tiny_projectors import write_tiny_hearing, write_tiny_vision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.api.media.sound_format import SoundFormat
    from inference.engine.media.inputs import ImageInput, SoundInput

pytestmark = [pytest.mark.long, pytest.mark.model]

FILES = 5_000
#: Of the sounds that are read, a worker encodes each of so many: Whisper's encoder
#: computes half a minute of each.
EACH = 100
MARK = "<image>"


def images() -> list[bytes]:
    """Return files of all formats."""
    return [
        image_file("PNG", (24, 16)),
        image_file("PNG", (24, 16), 3, mode="P"),
        image_file("PNG", (16, 16), (1, 2, 3, 4), mode="RGBA"),
        image_file("JPEG", (40, 24)),
        image_file("JPEG", (40, 24), 7, mode="L", progressive=True),
        image_file("WEBP", (24, 16)),
        image_file("WEBP", (24, 16), lossless=True),
        image_file("GIF", (24, 16)),
    ]


def sounds() -> list[bytes]:
    """Return wav files of several kinds, and an mp3 file."""
    found = [
        wav_file(tune(0.12, 8_000, channels), 8_000, bits)
        for channels in (1, 2)
        for bits in (8, 16, 24, -32)
    ]
    return [*found, *[MP3.read_bytes()] * len(found)]


def damaged(rng: random.Random, whole: list[bytes]) -> Iterator[bytes]:
    """Yield files that were whole once: with other bytes, fewer, or more of them."""
    for _ in range(FILES):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        match rng.randrange(5):
            case 0:
                del data[rng.randrange(len(data)) :]
            case 1:
                data += rng.randbytes(rng.randrange(200))
            case 2:
                start = rng.randrange(len(data))
                data[start:start] = data[: rng.randrange(len(data))]
        yield bytes(data)


def test_no_image_ends_a_worker(tmp_path: Path) -> None:
    model, projector = write_tiny_vision("mlp", tmp_path)
    pool = DecodingPool(timeout_s=120)
    backend = LlamaBackend(
        EngineConfig(
            (str(model),), n_ctx=256, n_seq_max=1, n_threads=1, projector=str(projector)
        )
    )
    assert backend.projector is not None

    def decode(data: bytes) -> ImageInput:
        limits = {"longest": 64, "most_pixels": 10**6}
        return pool.decode_image(lambda: data, client="a", **limits).result()

    def tokens(image: ImageInput) -> int:
        assert backend.projector is not None
        read = backend.projector.read(
            MARK, [image], marker=MARK, special=False, owner=""
        )
        return len(read.tokens)

    try:
        expected = tokens(decode(image_file()))
        was_read = was_refused = 0
        for data in damaged(random.Random(1), images()):
            try:
                image = decode(data)
            except UndecodableFile:
                was_refused += 1
            else:
                was_read += 1
                assert tokens(image) == expected
        assert was_read + was_refused == FILES
        assert min(was_read, was_refused) > FILES / 20
        found = decode(image_file(colour=RED))
        assert tokens(found) == expected
    finally:
        backend.close()
        pool.close()


def test_no_sound_ends_a_worker(tmp_path: Path) -> None:
    model, projector = write_tiny_hearing("ultravox", tmp_path)
    pool = DecodingPool(timeout_s=120)
    backend = LlamaBackend(
        EngineConfig(
            (str(model),), n_ctx=512, n_seq_max=1, n_threads=1, projector=str(projector)
        )
    )
    assert backend.projector is not None
    try:
        read: list[SoundInput] = []
        refused = 0
        for data in damaged(random.Random(2), sounds()):
            kind: SoundFormat = "wav" if data[:1] == b"R" else "mp3"
            try:
                read.append(
                    pool.decode_sound(
                        lambda data=data: data,  # type: ignore[misc]
                        kind,
                        client="a",
                        rate=16_000,
                        most_s=30,
                    ).result()
                )
            except UndecodableFile:
                refused += 1
        assert len(read) + refused == FILES
        assert min(len(read), refused) > FILES / 20
        for sound in read[::EACH]:
            found = backend.projector.read(
                MARK, [sound], marker=MARK, special=False, owner=""
            )
            (span,) = found.spans
            assert np.isfinite(span.embeddings).all()
    finally:
        backend.close()
        pool.close()
