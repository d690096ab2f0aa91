"""Whom a request counts for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The key whose fair share a request counts towards, and the key's weight.

    Cached prefixes are shared within an ``owner`` only; "" has none to share with.
    """

    key: str = ""
    weight: float = 1.0
    owner: str = ""
