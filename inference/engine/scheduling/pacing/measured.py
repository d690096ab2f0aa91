"""What a warm-up has measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Measured:
    """What steps took: decodes by the number of sequences, and pieces of prompts.

    A piece is its tokens, those before it, and its seconds. ``prefills_apart``: the
    model's prompts can be computed in a context of their own.
    """

    decodes: tuple[tuple[int, float], ...]
    pieces: tuple[tuple[int, int, float], ...]
    prefills_apart: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Return what ``dataclasses.asdict`` wrote as JSON."""
        return cls(
            tuple((count, seconds) for count, seconds in data["decodes"]),
            tuple((size, start, seconds) for size, start, seconds in data["pieces"]),
            prefills_apart=data["prefills_apart"],
        )
