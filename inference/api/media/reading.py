"""Makes what the engine takes of the images of a request."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from functools import partial
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.api.media.decoding_pool import (
    TooLargeImage,
    UndecodableImage,
    decoding_pool,
)
from inference.api.media.fetching import NotFetched, fetch_image
from llm_manager.config.in_force import config
from registry.model_facts import reads_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.media.marks import MarkedPart
    from inference.engine.media.inputs import ImageInput
    from registry.model_facts import ModelFacts

#: The longest side of an image that a model gets: larger ones are made smaller first,
#: as OpenAI does. ``detail`` ``low`` asks for less.
LONGEST, LONGEST_LOW = 2048, 512
#: Packed pixels of one request: all of it crosses Redis.
MAX_PACKED_BYTES = 32 * 1024 * 1024
_DATA = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif")


def check_reads_images(parts: Sequence[MarkedPart], model: ModelFacts) -> None:
    """Refuse images that the model cannot read, and too many. Raises BadRequest."""
    if not parts:
        return
    if not reads_images(model):
        raise BadRequest(
            f"Unsupported value: '{parts[0].path}' is an image, and the model "
            f"'{model.name}' reads only text: it has no projector of images.",
            param=parts[0].path,
            code="unsupported_parameter",
        )
    most = config().media.max_images
    if len(parts) > most:
        raise BadRequest(
            f"Too many images: {len(parts)}, and at most {most} are allowed.",
            param=parts[most].path,
            code="too_many_images",
        )


def check_countable(images: Sequence[MarkedPart]) -> None:
    """Refuse images where tokens are counted without a worker. Raises BadRequest."""
    if images:
        raise BadRequest(
            "Unsupported value: 'input' has an image. Its tokens are known when the "
            "request itself is sent: 'usage' counts them.",
            param="input",
            code="unsupported_parameter",
        )


async def read_images(
    parts: Sequence[MarkedPart], client: str
) -> tuple[ImageInput, ...]:
    """Return the images, which are fetched and decoded in the client's turn.

    Raises BadRequest, with the path of what is wrong.
    """
    found: list[ImageInput] = []
    size = 0
    for each in parts:
        image = await _read(each, client)
        size += len(image.packed)
        if size > MAX_PACKED_BYTES:
            raise BadRequest(
                f"The images are too large together, from '{each.path}' on: their "
                f"pixels take more than {MAX_PACKED_BYTES // 1024**2} MiB. Send fewer, "
                "smaller ones, or some with 'detail': 'low'.",
                param=each.path,
                code="image_too_large",
            )
        found.append(image)
    return tuple(found)


async def _read(marked: MarkedPart, client: str) -> ImageInput:
    given = marked.part.image_url
    if given.url[:8].lower() == "https://" and config().media.hosts:
        load = partial(bytes, await _fetched(given.url, marked.path, client))
    else:
        load = partial(_data, given.url, _header(given.url, marked.path), marked.path)
    decoding = decoding_pool().decode(
        load,
        client=client,
        longest=LONGEST_LOW if given.detail == "low" else LONGEST,
        most_pixels=config().media.max_pixels,
    )
    try:
        return await asyncio.wrap_future(decoding)
    except UndecodableImage as error:
        is_large = isinstance(error, TooLargeImage)
        raise BadRequest(
            f"The image '{marked.path}' cannot be read: {error}.",
            param=marked.path,
            code="image_too_large" if is_large else "invalid_image",
        ) from None


async def _fetched(url: str, path: str, client: str) -> bytes:
    """Return the bytes at an address. Raises BadRequest."""
    try:
        return await fetch_image(url, client)
    except NotFetched as error:
        raise BadRequest(
            f"The image '{path}' cannot be fetched: {error}.",
            param=path,
            code="image_not_fetched",
        ) from None


def _header(url: str, path: str) -> re.Match[str]:
    """Return the header of a data URL of an image. Raises BadRequest."""
    match = _DATA.match(url)
    if match is None:
        also = (
            "or an https address of a host that is permitted (media.hosts)."
            if config().media.hosts
            else "and images are not fetched from addresses here (media.hosts)."
        )
        raise BadRequest(
            f"Invalid value for '{path}': it must be a 'data:' URL, as in "
            f"data:image/png;base64,… {also}",
            param=path,
            code="unsupported_image_url",
        )
    if match[1].lower() not in _TYPES:
        raise BadRequest(
            f"Invalid value for '{path}': an image is image/png, image/jpeg, "
            "image/webp or image/gif.",
            param=path,
            code="invalid_image",
        )
    return match


def _data(url: str, header: re.Match[str], path: str) -> bytes:
    """Return the bytes that a data URL holds. Raises BadRequest."""
    try:
        if ";base64" not in header[2].lower():
            raise ValueError("it is not in base64")
        return base64.b64decode(url[header.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f"The image '{path}' cannot be read: {error}.",
            param=path,
            code="invalid_image",
        ) from None
