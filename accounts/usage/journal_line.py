"""A line of a journal: a checksum and a JSON object."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping


class JournalKind(StrEnum):
    """The kinds of lines; the first three have the id of their request.

    BEGIN: it was accepted, with what is known then. END: it is over, with the rest.
    WHOLE: both at once. PROGRESS: what those that run have counted. CARRIED: those that
    run have lines in the next file, and this one is complete.
    """

    BEGIN = "begin"
    END = "end"
    WHOLE = "whole"
    PROGRESS = "progress"
    CARRIED = "carried"


_encode = json.JSONEncoder(separators=(",", ":")).encode


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the line, with its line feed."""
    text = _encode(value).encode("ascii")
    return b"%08x %b\n" % (crc32(text), text)


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the object of a line; None if the line is torn."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != crc32(text):
            return None
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
