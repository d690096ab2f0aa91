"""A grammar as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar that the whole answer must match.

    ``source`` is in a language of llguidance: Lark, or JSON around a JSON schema.
    ``param`` names the request's member that it comes from. The functions of
    ``grammars`` make and check it.

    ``control_tokens`` are texts that are control tokens in some vocabularies, and plain
    text in others; only the worker knows. Rules in ``source`` refer to them by the
    number of their entry: ``control_0`` is one of the first entry's texts, ``until_0``
    any text up to and with the first of them, ``without_0`` any text that has none of
    them, and ``open_0`` such a text and then the entry's first.
    """

    source: str
    param: str = ""
    control_tokens: tuple[tuple[str, ...], ...] = ()
