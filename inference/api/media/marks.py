"""Marks in the place of images and sounds while a conversation becomes a prompt.

Chat templates take texts. Each of them is a mark in the text of its message, with a
number that nobody can guess: whoever writes a mark into a text does not move an image.
A template may show messages in another order; the numbers say which one is where.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.api.media.parts import AudioPart, ImagePart

if TYPE_CHECKING:
    from inference.api.media.parts import MediaPart

_NOUNS = {ImagePart: "image", AudioPart: "sound"}


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """An image or a sound of a request, and its path.

    ``rate`` is how many samples a second the model reads of a sound.
    """

    path: str
    part: MediaPart
    rate: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether it is no image."""
        return isinstance(self.part, AudioPart)

    @property
    def noun(self) -> str:
        """What it is: "image" or "sound"."""
        return _NOUNS[type(self.part)]


@dataclass(frozen=True, slots=True)
class MarkedPrompt:
    """A prompt with a mark for each image and each sound, which ``parts`` are in order.

    A mark is "" if there is none of its kind.
    """

    text: str
    image_mark: str
    sound_mark: str
    parts: tuple[MarkedPart, ...]


@dataclass(slots=True)
class MediaMarks:
    """The images and sounds of a request, in the request's order."""

    _name: str = ""
    parts: list[MarkedPart] = field(default_factory=list)

    def add(self, part: MediaPart, path: str) -> str:
        """Take an image or a sound, at this path of the request; return its mark."""
        if not self._name:
            # No text of the request has it.
            self._name = f"media_{secrets.token_hex(16)}"
        self.parts.append(MarkedPart(path, part))
        return f"<__{self._name}_{len(self.parts) - 1}__>"

    def check_none(self) -> None:
        """Refuse them where only text is counted or shown. Raises BadRequest."""
        if self.parts:
            found = self.parts[0]
            article = "a" if found.is_sound else "an"
            raise BadRequest(
                f"Unsupported value: '{found.path}' is {article} {found.noun}. Its "
                "tokens are known when the request itself is sent: 'usage' counts "
                "them.",
                param=found.path,
                code="unsupported_parameter",
            )

    def of_prompt(self, text: str, *, rate: int) -> MarkedPrompt:
        """Return a prompt, its images and its sounds, of ``rate`` samples a second.

        Raises BadRequest unless each of them is there once.
        """
        if not self.parts:
            return MarkedPrompt(text, image_mark="", sound_mark="", parts=())
        pattern = re.compile(f"<__{self._name}_([0-9]+)__>")
        found = [int(number) for number in pattern.findall(text)]
        for number, marked in enumerate(self.parts):
            if found.count(number) != 1:
                raise BadRequest(
                    f"The model's chat template does not show the {marked.noun} "
                    f"'{marked.path}' once.",
                    param=marked.path,
                    code="chat_template_error",
                )
        parts = tuple(replace(self.parts[number], rate=rate) for number in found)
        marks = {noun: f"<__{self._name}_{noun}__>" for noun in _NOUNS.values()}
        there = {part.noun for part in parts}
        return MarkedPrompt(
            text=pattern.sub(lambda at: marks[self.parts[int(at[1])].noun], text),
            image_mark=marks["image"] if "image" in there else "",
            sound_mark=marks["sound"] if "sound" in there else "",
            parts=parts,
        )
