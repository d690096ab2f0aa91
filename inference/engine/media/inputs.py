"""An image or a sound of a request: decoded, packed, and known by its digest."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from inference.engine.errors import InvalidRequest

_CHANNELS = 3
#: Of a sample in float32.
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image of ``width`` times ``height`` pixels of three bytes: red, green, blue.

    ``packed`` has its rows by zlib. ``digest`` identifies the content, whatever file
    format it came in.
    """

    width: int
    height: int
    packed: bytes
    digest: str

    @property
    def num_bytes(self) -> int:
        """Bytes of the pixels."""
        return self.width * self.height * _CHANNELS

    def content(self) -> bytes:
        """Return the pixels. Raises InvalidRequest if they are not whole."""
        return _content("image", self.packed, self.num_bytes)


@dataclass(frozen=True, slots=True)
class SoundInput:
    """A sound of one channel: ``num_samples``, ``rate`` of them a second.

    ``packed`` has them by zlib, as float32 in little-endian bytes. ``digest``
    identifies the content, whatever file format it came in.
    """

    rate: int
    num_samples: int
    packed: bytes
    digest: str

    @property
    def num_bytes(self) -> int:
        """Bytes of the samples."""
        return self.num_samples * _SAMPLE_BYTES

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.num_samples / self.rate

    def content(self) -> bytes:
        """Return the samples. Raises InvalidRequest if they are not whole."""
        return _content("sound", self.packed, self.num_bytes)


MediaInput = ImageInput | SoundInput


def image_digest(width: int, height: int, packed: bytes) -> str:
    """Return what identifies the content of an image."""
    return hashlib.sha256(f"{width} {height} ".encode() + packed).hexdigest()


def sound_digest(rate: int, packed: bytes) -> str:
    """Return what identifies the content of a sound."""
    return hashlib.sha256(f"sound {rate} ".encode() + packed).hexdigest()


def _content(kind: str, packed: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise InvalidRequest(f"The {kind} is damaged: {error}.") from None
    if len(content) != size:
        raise InvalidRequest(f"The {kind} has {len(content)} bytes, not {size}.")
    return content
