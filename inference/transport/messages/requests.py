"""Requests from a web process to the queue of a model."""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.request import ModelRequest


@dataclass(frozen=True, slots=True)
class TraceOrigin:
    """The span that a request's spans are below, as W3C's header writes it.

    ``queued_at`` is when it was put into the queue, in seconds since the epoch.
    """

    traceparent: str
    queued_at: float


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request, the channel for its events, and the deadline for its start.

    ``deadline`` is in seconds since the epoch. ``trace`` is None where nobody traces.
    """

    request: ModelRequest
    reply_to: str
    deadline: float
    trace: TraceOrigin | None = None
