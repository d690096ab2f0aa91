"""Requests from a web process to the queue of a model."""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.request import ModelRequest


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request, the channel for its events, and the deadline for its start.

    ``deadline`` is in seconds since the epoch.
    """

    request: ModelRequest
    reply_to: str
    deadline: float
