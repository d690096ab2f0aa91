"""Unpacks a body that a client has compressed, within a bound. Knows no Django."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_BITS = 16 + zlib.MAX_WBITS
#: Each copies what follows it. Clients send one; `pigz` and `bgzip` make a few.
_MAX_GZIP_MEMBERS = 100
#: The library has no bound for what it unpacks, so it gets a few bytes at once: a block
#: of 4 bytes makes 128 KiB at most (RFC 8878), so these make 8 MiB.
_ZSTD_STEP = 256


class MalformedEncoding(ValueError):
    """Why a body cannot be unpacked: the end of "The body is not valid gzip: …"."""


class UnpackedTooLarge(ValueError):
    """The body is larger than allowed once it is unpacked."""


def unpack(data: bytes, encoding: str, limit: int) -> bytes:
    """Return the body, of ``limit`` bytes at most; no more than that is unpacked.

    ``encoding`` is one of ``ENCODINGS``. Raises MalformedEncoding, UnpackedTooLarge.
    """
    return _UNPACKERS[encoding](data, limit)


def _gzip(data: bytes, limit: int) -> bytes:
    """Unpack gzip's members, one after another (RFC 1952)."""
    pieces: list[bytes] = []
    while data or not pieces:
        if len(pieces) == _MAX_GZIP_MEMBERS:
            raise MalformedEncoding(f"it has more than {_MAX_GZIP_MEMBERS} members")
        piece, data = _inflate(data, limit, _GZIP_BITS)
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def _deflate(data: bytes, limit: int) -> bytes:
    """Unpack zlib's format (RFC 9110), or raw deflate, which some clients send."""
    # zlib's first byte names its method, and the first two are a multiple of 31.
    start = int.from_bytes(data[:2], "big")
    has_header = start >> 8 & 15 == 8 and start % 31 == 0
    bits = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    unpacked, rest = _inflate(data, limit, bits)
    if rest:
        raise MalformedEncoding("something follows its end")
    return unpacked


def _inflate(data: bytes, limit: int, bits: int) -> tuple[bytes, bytes]:
    """Return what one compressed stream holds, and what follows it."""
    inflater = zlib.decompressobj(bits)
    try:
        # The byte more shows that there is one.
        unpacked = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise MalformedEncoding(str(error)) from None
    if len(unpacked) > limit:
        raise UnpackedTooLarge
    if not inflater.eof:
        raise MalformedEncoding("its end is missing")
    return unpacked, inflater.unused_data


def _zstd(data: bytes, limit: int) -> bytes:
    """Unpack zstd's frames, one after another (RFC 8878)."""
    import zstandard

    # What RFC 9659 lets a client use on the web: 8 MiB.
    unpacker = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
    pieces = []
    frame = unpacker.decompressobj()
    rest = memoryview(data)
    while rest:
        if frame.eof:
            frame = unpacker.decompressobj()
        step, rest = rest[:_ZSTD_STEP], rest[_ZSTD_STEP:]
        try:
            piece = frame.decompress(step)
        except zstandard.ZstdError as error:
            raise MalformedEncoding(str(error)) from None
        pieces.append(piece)
        limit -= len(piece)
        if limit < 0:
            raise UnpackedTooLarge
        if frame.unused_data:
            start = len(data) - len(rest) - len(frame.unused_data)
            rest = memoryview(data)[start:]
    if not frame.eof:
        raise MalformedEncoding("its end is missing")
    return b"".join(pieces)


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
#: The values of ``Content-Encoding`` that are served, beside ``identity``.
ENCODINGS = frozenset(_UNPACKERS)
