"""What an answer must be: a grammar, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar that the whole answer must match.

    ``grammar`` is text as llguidance takes it: Lark, or its own JSON around a
    schema. ``param`` names the field of the request that it comes from. Made by
    ``inference.engine.structured_output``, which also checks it.

    ``marks`` are texts that may be control tokens, which only the model's vocabulary
    tells. The grammar can say ``mark_0`` for one of the first entry's texts,
    ``until_0`` for any text and then the first of them, ``without_0`` for any text in
    which none is, and ``open_0`` for such a text and then the entry's first.
    """

    grammar: str
    param: str = ""
    marks: tuple[tuple[str, ...], ...] = ()
