"""An image or a sound of a request: decoded, packed, and known by its digest."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from inference.engine.errors import InvalidRequest

IMAGE, AUDIO = "image", "audio"
_CHANNELS = 3
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class MediaInput:
    """The rows of an image in RGB, or the samples of a sound.

    ``kind`` is ``image`` or ``audio``. An image has ``width`` times ``height`` pixels
    of three bytes; a sound has ``width`` samples of one channel, each a little-endian
    float of four bytes, and a ``height`` of 1. ``packed`` has them by zlib. ``digest``
    identifies the content, whatever file format it came in.
    """

    kind: str
    width: int
    height: int
    packed: bytes
    digest: str

    @property
    def num_bytes(self) -> int:
        """Bytes of the content."""
        each = _CHANNELS if self.kind == IMAGE else _SAMPLE_BYTES
        return self.width * self.height * each

    def content(self) -> bytes:
        """Return the pixels or samples. Raises InvalidRequest if they are not whole."""
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(self.packed, self.num_bytes + 1)
        except zlib.error as error:
            raise InvalidRequest(f"The {self.kind} is damaged: {error}.") from None
        if len(content) != self.num_bytes:
            raise InvalidRequest(
                f"The {self.kind} has {len(content)} bytes, not {self.num_bytes}."
            )
        return content


def media_digest(kind: str, width: int, height: int, content: bytes) -> str:
    """Return what identifies the content of an image or a sound."""
    start = f"{kind} {width} {height} ".encode()
    return hashlib.sha256(start + content).hexdigest()
