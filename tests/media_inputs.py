"""Images and sounds as the engine gets them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from inference.api.media.sound_files import decoded_sound
from inference.engine.media.inputs import (
    ImageInput,
    SoundInput,
    image_digest,
    sound_digest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def image_input(source: Path | NDArray[np.uint8]) -> ImageInput:
    """Return a picture of a file or of an array of its pixels."""
    if isinstance(source, Path):
        with Image.open(source) as image:
            pixels = np.asarray(image.convert("RGB"))
    else:
        pixels = source
    height, width, _ = pixels.shape
    content = pixels.tobytes()
    packed = zlib.compress(content, 1)
    return ImageInput(width, height, packed, image_digest(width, height, packed))


def sound_input(path: Path, rate: int = 16_000) -> SoundInput:
    """Return the sound of a wav or mp3 file."""
    samples = decoded_sound(path.read_bytes(), path.suffix[1:], rate, 300)
    packed = zlib.compress(samples.tobytes(), 1)
    return SoundInput(rate, len(samples), packed, sound_digest(rate, packed))
