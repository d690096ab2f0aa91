"""A stranger's text in a message, and on a terminal."""

from __future__ import annotations

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
