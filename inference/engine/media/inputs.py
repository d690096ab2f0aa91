"""An image of a request: decoded, packed, and known by its digest."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from inference.engine.errors import InvalidRequest

_CHANNELS = 3


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
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(self.packed, self.num_bytes + 1)
        except zlib.error as error:
            raise InvalidRequest(f"The image is damaged: {error}.") from None
        if len(content) != self.num_bytes:
            raise InvalidRequest(
                f"The image has {len(content)} bytes, not {self.num_bytes}."
            )
        return content


def image_digest(width: int, height: int, packed: bytes) -> str:
    """Return what identifies the content of an image."""
    return hashlib.sha256(f"{width} {height} ".encode() + packed).hexdigest()
