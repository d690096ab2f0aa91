"""The ids of tool calls, in the forms that clients and chat templates expect."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

#: Makes the id of a call from the tool's name and the call's index.
NewId = Callable[[str, int], str]

_BASE62 = string.ascii_letters + string.digits


def openai_id(name: str, index: int) -> str:
    """Return an id in OpenAI's form."""
    return "call_" + _random(24)


def mistral_id(name: str, index: int) -> str:
    """Return nine characters: Mistral's chat templates refuse anything else."""
    return _random(9)


def kimi_id(name: str, index: int) -> str:
    """Return the id that Kimi K2 was trained to see: its template prints it."""
    return f"functions.{name}:{index}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))
