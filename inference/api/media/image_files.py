"""Image files of strangers: decoded, turned, and made smaller."""

from __future__ import annotations

import io

from PIL import Image, ImageMath, ImageOps

from inference.api.media.file_errors import TooLargeFile

#: The formats that are read, by Pillow's names: of the many others each is a risk.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_WHITE = (255, 255, 255)


def decoded_image(data: bytes, longest: int, most: int) -> Image.Image:
    """Return the first frame of an image in RGB, no side longer than ``longest``.

    It is turned as its EXIF header says; what is transparent becomes white. Raises
    TooLargeFile for more than ``most`` pixels, before it decodes any, and what Pillow
    raises.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > most:
            raise TooLargeFile(
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
