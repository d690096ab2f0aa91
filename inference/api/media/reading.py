"""Makes what the engine takes of the images and sounds of a request."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from functools import partial
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.api.media.decoding_pool import (
    OversizedFile,
    UndecodableFile,
    decoding_pool,
)
from inference.api.media.fetching import NotFetched, fetch_image
from inference.api.media.parts import AudioPart, ImagePart
from llm_manager.config.in_force import config
from registry.model_facts import hears, reads_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from inference.api.media.marks import MarkedPart
    from inference.engine.media.inputs import ImageInput, MediaInput, SoundInput
    from registry.model_facts import ModelFacts

#: The longest side of an image that a model gets: larger ones are made smaller first,
#: as OpenAI does. ``detail`` ``low`` asks for less.
LONGEST, LONGEST_LOW = 2048, 512
#: Packed pixels and samples of one request: all of it crosses Redis.
MAX_PACKED_BYTES = 32 * 1024 * 1024
_DATA = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif")
#: Codes of errors, by what it is.
_INVALID = {"image": "invalid_image", "sound": "invalid_audio"}
_TOO_LARGE = {"image": "image_too_large", "sound": "audio_too_long"}


def check_reads_media(parts: Sequence[MarkedPart], model: ModelFacts) -> None:
    """Refuse what the model cannot read, and too much of it. Raises BadRequest."""
    settings = config().media
    images = [each for each in parts if not each.is_sound]
    sounds = [each for each in parts if each.is_sound]
    if images and not reads_images(model):
        raise _not_read(images[0], model)
    if sounds and not hears(model):
        raise _not_read(sounds[0], model)
    for found, most in ((images, settings.max_images), (sounds, settings.max_sounds)):
        if len(found) > most:
            noun = found[0].noun
            raise BadRequest(
                f"Too many {noun}s: {len(found)}, and at most {most} are allowed.",
                param=found[most].path,
                code=f"too_many_{noun}s",
            )


def _not_read(marked: MarkedPart, model: ModelFacts) -> BadRequest:
    article, noun = "a" if marked.is_sound else "an", marked.noun
    read = f"no {noun}s" if reads_images(model) or hears(model) else "only text"
    return BadRequest(
        f"Unsupported value: '{marked.path}' is {article} {noun}, and the model "
        f"'{model.name}' reads {read}: it has no projector of {noun}s.",
        param=marked.path,
        code="unsupported_parameter",
    )


async def read_media(
    parts: Sequence[MarkedPart], client: str
) -> tuple[MediaInput, ...]:
    """Return the images and sounds, fetched and decoded in the client's turn.

    Raises BadRequest, with the path of what is wrong.
    """
    found: list[MediaInput] = []
    size = 0
    for each in parts:
        medium = await _read(each, client)
        size += len(medium.packed)
        if size > MAX_PACKED_BYTES:
            raise BadRequest(
                f"The images and sounds are too large together, from '{each.path}' on: "
                f"they take more than {MAX_PACKED_BYTES // 1024**2} MiB. Send fewer, "
                "smaller or shorter ones, or images with 'detail': 'low'.",
                param=each.path,
                code=_TOO_LARGE[each.noun],
            )
        found.append(medium)
    return tuple(found)


async def _read(marked: MarkedPart, client: str) -> MediaInput:
    """Return one of them. Raises BadRequest."""
    part = marked.part
    try:
        if isinstance(part, ImagePart):
            return await _image(part, marked.path, client)
        return await asyncio.wrap_future(_sound(part, marked, client))
    except UndecodableFile as error:
        codes = _TOO_LARGE if isinstance(error, OversizedFile) else _INVALID
        raise BadRequest(
            f"The {marked.noun} '{marked.path}' cannot be read: {error}.",
            param=marked.path,
            code=codes[marked.noun],
        ) from None


def _sound(part: AudioPart, marked: MarkedPart, client: str) -> Future[SoundInput]:
    given = part.input_audio
    return decoding_pool().decode_sound(
        partial(_decoded, given.data, marked.path, "sound"),
        given.format,
        client=client,
        rate=marked.rate,
        most_s=config().media.max_sound_seconds,
    )


async def _image(part: ImagePart, path: str, client: str) -> ImageInput:
    given, most_pixels = part.image_url, config().media.max_pixels

    def decode(load: Callable[[], bytes]) -> Future[ImageInput]:
        return decoding_pool().decode_image(
            load,
            client=client,
            longest=LONGEST_LOW if given.detail == "low" else LONGEST,
            most_pixels=most_pixels,
        )

    if not (given.url[:8].lower() == "https://" and config().media.hosts):
        load = partial(_data, given.url, _header(given.url, path), path)
        return await asyncio.wrap_future(decode(load))
    try:
        return await fetch_image(
            given.url, client, lambda data: decode(partial(bytes, data)).result()
        )
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
    if ";base64" not in header[2].lower():
        raise _invalid(path, "image", "it is not in base64")
    return _decoded(url[header.end() :], path, "image")


def _decoded(text: str, path: str, noun: str) -> bytes:
    """Return the bytes that a text in base64 holds. Raises BadRequest."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(path, noun, str(error)) from None


def _invalid(path: str, noun: str, reason: str) -> BadRequest:
    return BadRequest(
        f"The {noun} '{path}' cannot be read: {reason}.",
        param=path,
        code=_INVALID[noun],
    )
