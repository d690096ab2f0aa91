"""Ids of tool calls, in the forms that clients and chat templates expect."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

#: Returns the id of a call, given the tool's name and the call's index.
NewId = Callable[[str, int], str]

_BASE62 = string.ascii_letters + string.digits


def openai_id(name: str, index: int) -> str:
    """Return an id in OpenAI's form."""
    return "call_" + _random(24)


def mistral_id(name: str, index: int) -> str:
    """Return nine letters and digits: Mistral's chat templates reject other ids."""
    return _random(9)


def kimi_id(name: str, index: int) -> str:
    """Return an id in the form that Kimi K2 writes and its template prints."""
    return f"functions.{name}:{index}"


def solar_id(name: str, index: int) -> str:
    """Return ten lower-case letters and digits, as Solar Open writes them."""
    return _random(10, string.ascii_lowercase + string.digits)


def _random(length: int, characters: str = _BASE62) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))
