"""Messages between the workers of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A worker serves at ``control``; ``surplus`` of its requests cannot start yet."""

    control: str
    surplus: int


@dataclass(frozen=True, slots=True)
class StealRequests:
    """Release pending requests: another worker could start ``room`` of them at once."""

    room: int
