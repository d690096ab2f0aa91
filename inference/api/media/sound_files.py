"""Sound files of strangers: decoded, mixed to one channel, resampled."""

from __future__ import annotations

import io
import math
from array import array

import miniaudio

from inference.api.media.file_errors import DamagedFile, TooLargeFile
from inference.api.media.sound_format import sound_format

#: OpenAI's bound; and some of llama.cpp's projectors end the process over a sound that
#: is shorter than a piece of theirs.
_SHORTEST_S = 0.1
#: Full scale is 1. Numbers far beyond are no sound, and some 1e15 times as large they
#: would make numbers that are none in the model.
_LOUDEST = 100.0
#: Samples that are decoded at a time.
_PIECE = 16_384

#: miniaudio's names, by OpenAI's. It reads more than that where it is let: each is a
#: risk.
_FORMATS = {
    "wav": miniaudio.FileFormat.WAV,
    "mp3": miniaudio.FileFormat.MP3,
}


def decoded_sound(data: bytes, kind: str, rate: int, most_s: int) -> array[float]:
    """Return a file's samples in float32, one channel, ``rate`` of them a second.

    ``kind`` is "wav" or "mp3". It decodes at most ``most_s`` seconds. Raises
    DamagedFile and TooLargeFile.
    """
    if sound_format(data) != kind:
        raise DamagedFile(f"it is not {kind}, or is damaged")
    samples = array("f")
    try:
        pieces = miniaudio.stream_any(
            _Source(data),
            _FORMATS[kind],
            miniaudio.SampleFormat.FLOAT32,
            nchannels=1,
            sample_rate=rate,
            frames_to_read=_PIECE,
        )
        for piece in pieces:
            samples.extend(piece)
            if len(samples) > most_s * rate:
                raise TooLargeFile(f"it is longer than {most_s} s")
    except miniaudio.MiniaudioError:
        raise DamagedFile(f"it is not {kind}, or is damaged") from None
    _check(samples, rate)
    return samples


def _check(samples: array[float], rate: int) -> None:
    if len(samples) < _SHORTEST_S * rate:
        raise DamagedFile(f"it is shorter than {_SHORTEST_S} s")
    # A sum with a number that is none is none.
    is_sound = math.isfinite(sum(samples))
    if not is_sound or max(samples) > _LOUDEST or min(samples) < -_LOUDEST:
        raise DamagedFile("it has numbers that are no sound")


class _Source(miniaudio.StreamableSource):  # type: ignore[misc]  # untyped
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, num_bytes: int) -> bytes:
        """Return the next bytes."""
        return self._file.read(num_bytes)

    def seek(self, offset: int, origin: miniaudio.SeekOrigin) -> bool:
        """Go to another place."""
        self._file.seek(offset, origin.value)
        return True
