"""A small process that decodes files of strangers: `python -m` this module.

It has neither Django, a network, nor the server's environment. What a file does to its
memory or its time ends with it; the web process has only pixels or samples, of a size
that it has asked for.

Of each job it reads a header (what it is, two numbers, the bytes) and the file; it
answers with a header (kind of the answer, two numbers, bytes) and the content, packed,
or a sentence. It ends when its input does, and after a job that leaves it with much
memory.

The numbers of an image are the longest side of the result and the most pixels of the
file, and of the answer width and height. Those of a sound are samples a second and the
most seconds of the file, and of the answer how many samples it has, and 0.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import IO

from PIL import Image, UnidentifiedImageError

from inference.api.media.file_errors import DamagedFile, TooLargeFile
from inference.api.media.image_files import FORMATS, decoded_image
from inference.api.media.sound_files import decoded_sound
from llm_manager.lib.processes.helper_jobs import answer_jobs

#: What it is, its two numbers, bytes of the file.
JOB = struct.Struct(">cIII")
IMAGE, WAV, MP3 = b"i", b"w", b"m"
#: Kind of the answer, whether the process ends with it, its two numbers, bytes.
ANSWER = struct.Struct(">c?III")
DONE, BROKEN, TOO_LARGE = b"d", b"b", b"l"

#: Address space: 50 million pixels take four bytes each, twice while they are turned.
_MEMORY_BYTES = 2 * 1024**3
#: A process that still has more after a job ends, and gives its memory back.
_KEPT_BYTES = 256 * 1024**2

Answer = tuple[bytes, int, int, bytes]


def answer_to(kind: bytes, data: bytes, first: int, second: int) -> Answer:
    """Return the kind of the answer to a job, its numbers, and content or a reason."""
    try:
        if kind == IMAGE:
            return _image(data, first, second)
        return _sound(data, "wav" if kind == WAV else "mp3", first, second)
    except TooLargeFile as error:
        return TOO_LARGE, 0, 0, str(error).encode()
    except MemoryError:
        return TOO_LARGE, 0, 0, b"it takes more memory than a file may take"
    except UnidentifiedImageError:
        names = ", ".join(FORMATS)
        return BROKEN, 0, 0, f"it is none of {names}, or is damaged".encode()
    except DamagedFile as error:
        return BROKEN, 0, 0, str(error).encode()
    except Exception as error:
        # A stranger's file may make any part of a decoder fail in any way.
        reason = str(error) or type(error).__name__
        return BROKEN, 0, 0, f"it is damaged: {reason[:200]}".encode("utf-8", "replace")


def _image(data: bytes, longest: int, most: int) -> Answer:
    image = decoded_image(data, longest, most)
    width, height = image.size
    return DONE, width, height, zlib.compress(image.tobytes(), 1)


def _sound(data: bytes, kind: str, rate: int, most_s: int) -> Answer:
    samples = decoded_sound(data, kind, rate, most_s)
    return DONE, len(samples), 0, zlib.compress(samples.tobytes(), 1)


def _answer_next(
    source: IO[bytes], kind: bytes, first: int, second: int, size: int
) -> Answer:
    return answer_to(kind, source.read(size), first, second)


if __name__ == "__main__":
    # Pillow's own limit is a warning; ours is in each job.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    answer_jobs(
        *(JOB, ANSWER, _answer_next), memory_bytes=_MEMORY_BYTES, kept_bytes=_KEPT_BYTES
    )
