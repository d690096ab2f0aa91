"""A stranger's text in a message."""

from __future__ import annotations

#: How many characters of it a message repeats.
_MAX_QUOTE = 100


def quote(text: str) -> str:
    """Return a client's text for an error message, shortened."""
    short = text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + "…"
    return short.encode("utf-8", "replace").decode()
