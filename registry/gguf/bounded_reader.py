"""Reads numbers and strings from the start of a file, within bounds.

Every length and count is checked against the file's size and against a bound
before anything is allocated.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from registry.errors import InvalidGGUF

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

#: Largest header. Models with the largest vocabularies have headers of 20 MB.
MAX_HEADER_BYTES = 128 * 1024 * 1024
#: Most strings in all arrays of one file. The largest vocabulary with its merges has
#: 650,000, and each one takes time.
MAX_ARRAY_STRINGS = 4_000_000
#: Memory for all values of one header, so that many large ones cannot add up.
MAX_KEPT_BYTES = 8 * 1024 * 1024
#: The position of every 1,024th string of a long array is kept, so that a string can
#: be found without reading the whole array.
STRIDE = 1024

#: Value types that are plain numbers, as struct codes.
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
SCALARS = {kind: struct.Struct(f"<{code}") for kind, code in CODES.items()}
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")

_WINDOW_BYTES = 64 * 1024
_SEARCH_BYTES = 1024 * 1024

Scalar = int | float | bool | str


class HeaderReader:
    """Reads numbers and strings from the start of a file, each checked against its end.

    Uses a buffer and no memory map: if another process truncates a mapped file, the
    next access kills the whole process.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._limit = min(size, MAX_HEADER_BYTES)
        self._window = b""
        self._start = 0  # position of the window in the file
        self._at = 0  # position in the window
        self._strings_left = MAX_ARRAY_STRINGS
        self._bytes_left = MAX_KEPT_BYTES

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    @property
    def position(self) -> int:
        """The position in the file that is read next."""
        return self._start + self._at

    @position.setter
    def position(self, position: int) -> None:
        self._at = position - self._start
        if not 0 <= self._at <= len(self._window):
            self._window, self._start, self._at = b"", position, 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        self._require(count)
        first = self._at
        self._at += count
        return self._window[first : self._at]

    def skip(self, count: int) -> None:
        """Skip ``count`` bytes."""
        self._check_room(count)
        self.position += count

    def number(self, form: struct.Struct) -> int:
        """Return the next integer."""
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def scalars(self, kind: int, count: int) -> tuple[Scalar, ...]:
        """Return the next ``count`` values of a scalar type."""
        size = count * SCALARS[kind].size
        return struct.unpack(f"<{count}{CODES[kind]}", self.take(size))

    def string(self, limit: int) -> str | None:
        """Return the next string, or None if it has more than ``limit`` bytes."""
        length = self.number(U64)
        if length > limit:
            self.skip(length)
            return None
        return self.take(length).decode("utf-8", errors="replace")

    def check_count(self, what: str, count: int, item_bytes: int, limit: int) -> None:
        """Raise InvalidGGUF if the file cannot hold so many or the limit forbids it."""
        if count * item_bytes > self._size - self.position:
            raise InvalidGGUF(
                f"truncated: the header claims {count} {what}, "
                f"the file has {self._size} bytes"
            )
        if count > limit:
            raise InvalidGGUF(f"the header claims {count} {what}; {limit} are allowed")

    def reserve(self, count: int) -> bool:
        """Return whether ``count`` more bytes fit into the memory limit; count them."""
        if count > self._bytes_left:
            return False
        self._bytes_left -= count
        return True

    def count_strings(self, count: int) -> None:
        """Count the strings of an array. Raises InvalidGGUF if there are too many."""
        self.check_count("strings", count, U64.size, self._strings_left)
        self._strings_left -= count

    def skip_strings(self, count: int) -> tuple[int, ...]:
        """Skip strings and return the position of every 1,024th.

        Runs a million times for a large vocabulary, hence the local variables.
        """
        offsets = []
        unpack = U64.unpack_from
        window, at, end = self._window, self._at, len(self._window)
        for first in range(0, count, STRIDE):
            offsets.append(self._start + at)
            for _ in range(min(STRIDE, count - first)):
                if at + 8 > end:
                    self._at = at
                    self._require(8)
                    window, at, end = self._window, self._at, len(self._window)
                at += 8 + unpack(window, at)[0]
        self._at = at
        self.skip(0)
        return tuple(offsets)

    def search(self, needles: Iterable[bytes], start: int, end: int) -> set[bytes]:
        """Return the needles that occur between two positions."""
        wanted = set(needles)
        overlap = max(map(len, wanted))
        found: set[bytes] = set()
        for position in range(start, end, _SEARCH_BYTES):
            self._stream.seek(position)
            size = min(_SEARCH_BYTES + overlap, end - position)
            part = self._stream.read(size)
            found |= {needle for needle in wanted - found if needle in part}
        return found

    def _require(self, count: int) -> None:
        """Put the next ``count`` bytes into the window."""
        if self._at + count <= len(self._window):
            return
        self._check_room(count)
        self._start, self._at = self.position, 0
        self._stream.seek(self._start)
        wanted = min(max(count, _WINDOW_BYTES), self._limit - self._start)
        self._window = self._stream.read(wanted)
        if len(self._window) < count:
            raise InvalidGGUF("truncated while being read")

    def _check_room(self, count: int) -> None:
        if self.position + count <= self._limit:
            return
        if self._limit == self._size:
            raise InvalidGGUF(
                f"truncated: the header continues after the file's {self._size} bytes"
            )
        raise InvalidGGUF(f"the header is larger than {MAX_HEADER_BYTES} bytes")
