"""A small process that decodes images of strangers: `python -m` this module.

It has neither Django, a network, nor the server's environment. What a file does to its
memory or its time ends with it; the web process has only pixels, of a size that it has
asked for.

Of each job it reads a header (the longest side of the result, the most pixels of the
file, the bytes) and the file; it answers with a header (kind of the answer, width,
height, bytes) and the pixels, packed, or a sentence. It ends when its input does, and
after a job that leaves it with much memory.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import sys
import warnings
import zlib
from typing import IO

from PIL import Image, ImageMath, ImageOps, UnidentifiedImageError

from llm_manager.lib.processes.own_memory import resident_bytes

#: Longest side of the result, most pixels of the file, bytes of the file.
JOB = struct.Struct(">III")
#: Kind of the answer, whether the process ends with it, width, height, bytes.
ANSWER = struct.Struct(">c?III")
PIXELS, BROKEN, TOO_LARGE = b"p", b"b", b"l"

#: The formats that are read, by Pillow's names: of the many others each is a risk.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
#: Address space: 50 million pixels take four bytes each, twice while they are turned.
_MEMORY_BYTES = 2 * 1024**3
#: A process that still has more after a job ends, and gives its memory back.
_KEPT_BYTES = 256 * 1024**2
#: Requests that are served must not wait for one that is decoded.
_NICENESS = 5
_WHITE = (255, 255, 255)


class TooManyPixels(ValueError):
    """The image has more pixels than it may have."""


def decoded(data: bytes, longest: int, most: int) -> Image.Image:
    """Return the first frame of an image in RGB, no side longer than ``longest``.

    It is turned as its EXIF header says; what is transparent becomes white. Raises
    TooManyPixels, before it decodes any, and what Pillow raises.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > most:
            raise TooManyPixels(
                f"it has {width} x {height} pixels, and at most {most:,} are allowed"
            )
        image.seek(0)
        # Where the format can, it decodes no more than is needed.
        image.draft("RGB", (longest, longest))
        image.load()
        turned = _in_colours(ImageOps.exif_transpose(image))
        if max(turned.size) > longest:
            turned.thumbnail((longest, longest), Image.Resampling.BICUBIC)
        return _without_alpha(turned)


def _in_colours(image: Image.Image) -> Image.Image:
    """Return an image as RGB or RGBA, whose pixels have colours between them.

    The numbers of a palette have none; of 16 bits Pillow's own conversion takes the
    white for all that has a higher byte.
    """
    if image.mode.startswith("I"):
        image = _in_eight_bits(image)
    is_clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if is_clear else "RGB")


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of 16 bits as one of eight, perhaps with alpha."""
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    clear = image.info.get("transparency")
    if clear is not None:
        seen = ImageMath.lambda_eval(
            lambda of: of["convert"]((of["wide"] != clear) * 255, "L"), wide=wide
        )
        grey.putalpha(seen)
    return grey


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGBA", image.size, (*_WHITE, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def answer_to(data: bytes, longest: int, most: int) -> tuple[bytes, int, int, bytes]:
    """Return the kind of the answer to a job, width, height, and pixels or a reason."""
    try:
        image = decoded(data, longest, most)
        width, height = image.size
        return PIXELS, width, height, zlib.compress(image.tobytes(), 1)
    except TooManyPixels as error:
        return TOO_LARGE, 0, 0, str(error).encode()
    except MemoryError:
        return TOO_LARGE, 0, 0, b"it takes more memory than an image may take"
    except UnidentifiedImageError:
        names = ", ".join(FORMATS)
        return BROKEN, 0, 0, f"it is none of {names}, or is damaged".encode()
    except Exception as error:
        # A stranger's file may make any part of a decoder fail in any way.
        reason = str(error) or type(error).__name__
        return BROKEN, 0, 0, f"it is damaged: {reason[:200]}".encode("utf-8", "replace")


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    while header := source.read(JOB.size):
        longest, most, size = JOB.unpack(header)
        data = source.read(size)
        kind, width, height, content = answer_to(data, longest, most)
        is_large = resident_bytes() > _KEPT_BYTES
        sink.write(ANSWER.pack(kind, is_large, width, height, len(content)) + content)
        sink.flush()
        if is_large:
            return


if __name__ == "__main__":
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Pillow's own limit is a warning; ours is in each job.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    _serve(sys.stdin.buffer, sys.stdout.buffer)
