"""Image files for requests."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def image_file(
    kind: str = "PNG",
    size: tuple[int, int] = (4, 2),
    colour: Any = RED,
    mode: str = "RGB",
    **options: Any,
) -> bytes:
    """Return a file of one colour."""
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind, **options)
    return stream.getvalue()


def data_url(data: bytes | None = None, media_type: str = "image/png") -> str:
    """Return a ``data:`` URL; of a red PNG, unless it is given another file."""
    text = base64.b64encode(image_file() if data is None else data).decode()
    return f"data:{media_type};base64,{text}"


def huge_png(width: int = 50_000, height: int = 50_000) -> bytes:
    """Return a small PNG file that is many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * 64), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )
