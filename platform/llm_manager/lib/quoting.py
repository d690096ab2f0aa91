"""A stranger's text in a message, on a terminal, and in the database."""

from __future__ import annotations

from typing import Any

#: How many characters of it a message repeats.
_MAX_QUOTE = 100


def quote(text: str) -> str:
    """Return a client's text for an error message, shortened."""
    short = text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + "…"
    return short.encode("utf-8", "replace").decode()


def printable(text: str, *, kept: str = "") -> str:
    """Return text without control characters, but for those in ``kept``.

    Names of files may contain any, and so may a model's answer.
    """
    return "".join(
        char
        if char.isprintable() or char in kept
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def storable(value: Any) -> Any:
    """Return a text, or a JSON value with texts, that every database takes.

    PostgreSQL refuses NUL and half a surrogate pair; U+FFFD and "?" take their place.
    """
    match value:
        case str():
            return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        case dict():
            return {storable(name): storable(each) for name, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
        case _:
            return value
