"""Commands from a web process to one worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abort:
    """Abort these requests: nobody waits for them any more."""

    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """The web process at ``reply_to`` is alive; the worker answers with a LineState."""

    reply_to: str


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the frames from number ``seq`` on again."""

    reply_to: str
    seq: int
