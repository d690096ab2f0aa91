"""Marks in the place of images while a conversation becomes a prompt.

Chat templates take texts. Each image is a mark in the text of its message, with a
number that nobody can guess: whoever writes a mark into a text does not move an image.
A template may show messages in another order; the numbers say which image is where.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from inference.api.media.parts import ImagePart


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """An image of a request, and its path."""

    path: str
    part: ImagePart


@dataclass(frozen=True, slots=True)
class MarkedPrompt:
    """A prompt with ``mark`` for each image, and the images in the prompt's order."""

    text: str
    mark: str
    parts: tuple[MarkedPart, ...]


@dataclass(slots=True)
class MediaMarks:
    """The images of a request, in the request's order."""

    _name: str = field(default_factory=lambda: f"image_{secrets.token_hex(16)}")
    parts: list[MarkedPart] = field(default_factory=list)

    def add(self, part: ImagePart, path: str) -> str:
        """Take an image, at this path of the request; return its mark."""
        self.parts.append(MarkedPart(path, part))
        return f"<__{self._name}_{len(self.parts) - 1}__>"

    def check_none(self) -> None:
        """Refuse images where only text is counted or shown. Raises BadRequest."""
        if self.parts:
            path = self.parts[0].path
            raise BadRequest(
                f"Unsupported value: '{path}' is an image. Its tokens are known when "
                "the request itself is sent: 'usage' counts them.",
                param=path,
                code="unsupported_parameter",
            )

    def of_prompt(self, text: str) -> MarkedPrompt:
        """Return a prompt and its images.

        Raises BadRequest unless each of them is there once.
        """
        pattern = re.compile(f"<__{self._name}_([0-9]+)__>")
        found = [int(number) for number in pattern.findall(text)]
        for number, marked in enumerate(self.parts):
            if found.count(number) != 1:
                raise BadRequest(
                    f"The model's chat template does not show the image "
                    f"'{marked.path}' once.",
                    param=marked.path,
                    code="chat_template_error",
                )
        mark = f"<__{self._name}__>"
        return MarkedPrompt(
            pattern.sub(mark, text), mark, tuple(self.parts[number] for number in found)
        )
