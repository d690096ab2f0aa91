"""Which format a sound file has."""

from __future__ import annotations

from typing import Literal

SoundFormat = Literal["wav", "mp3"]


def sound_format(data: bytes) -> SoundFormat | None:
    """Return which format a file begins like, None if like neither.

    By the same bytes as llama.cpp.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    has_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return "mp3" if has_frame or data[:3] == b"ID3" else None
