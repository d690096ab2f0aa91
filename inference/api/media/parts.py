"""The parts of messages that are images or sounds, as OpenAI has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.media.sound_format import SoundFormat
from inference.api.parameters.value_types import NonEmpty

#: How closely a model looks: ``low`` makes an image small before the model gets it.
Detail = Literal["auto", "low", "high", "original"]


class ImageUrl(Body):
    """An image: a ``data:`` URL, or an address where the server may fetch it."""

    url: NonEmpty
    detail: Detail = "auto"


class ImagePart(Body):
    """An image in a message, for models that see."""

    type: Literal["image_url"]
    image_url: ImageUrl
    # Anthropic's hint, which agents send to every server: prefixes are always cached.
    cache_control: Annotated[Any, Unsupported(({"type": "ephemeral"},))] = None


class InputAudio(Body):
    """A sound: its file in base64, and which format that is."""

    data: NonEmpty
    format: SoundFormat


class AudioPart(Body):
    """A sound in a message, for models that hear."""

    type: Literal["input_audio"]
    input_audio: InputAudio
    cache_control: Annotated[Any, Unsupported(({"type": "ephemeral"},))] = None


MediaPart = ImagePart | AudioPart


def image_part(url: str, detail: Detail = "auto") -> ImagePart:
    """Return the part of an image that another API's request has."""
    image = ImageUrl.model_construct(url=url, detail=detail)
    return ImagePart.model_construct(type="image_url", image_url=image)
