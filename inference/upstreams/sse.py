"""Cuts a stream of bytes into its server-sent events, without changing a byte."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: More bytes than any event of a model has: what is longer is no stream of events.
MAX_EVENT_BYTES = 4 * 1024 * 1024
#: The empty line after an event, by the standard's three line ends.
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINES = re.compile(rb"\r\n|\n|\r")


class EventTooLong(Exception):
    """An event that does not end."""


class EventSplitter:
    """Takes pieces of any length, and returns the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def put(self, piece: bytes) -> Iterator[bytes]:
        """Yield the complete events with their empty lines. Raises EventTooLong."""
        seen = max(len(self._rest) - 3, 0)
        data = self._rest + piece if self._rest else piece
        start = 0
        for match in _END.finditer(data, seen):
            yield data[start : match.end()]
            start = match.end()
        self._rest = data[start:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong

    @property
    def rest(self) -> bytes:
        """What has come of an event that is not complete."""
        return self._rest


def data_of(event: bytes) -> bytes:
    """Return the data of an event; b"" if it has none, as comments."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2 and b"\r" not in event:
        # The usual case: one line.
        return event[6:-2]
    lines = [
        line[5:].removeprefix(b" ")
        for line in _LINES.split(event)
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines)


def with_data(event: bytes, data: bytes) -> bytes:
    """Return an event with other data, of one line, and its own other lines."""
    lines = [line for line in _LINES.split(event) if line]
    others = [line for line in lines if not line.startswith(b"data:")]
    return b"\n".join([*others, b"data: " + data, b"", b""])
