"""Whom a request counts for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The key whose fair share a request counts towards, and the key's weight.

    Cached prefixes are shared within an ``owner`` only; "" has none to share with. What
    is ``idle_only`` is computed while the model's workers have nothing else.
    """

    key: str = ""
    weight: float = 1.0
    owner: str = ""
    idle_only: bool = False
