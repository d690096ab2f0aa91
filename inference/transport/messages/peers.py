"""Messages of workers to each other and to those who follow the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A worker serves at ``control``; ``surplus`` of its requests cannot start yet.

    ``queue`` is the queue of its model, ``incarnation`` names the process.
    """

    queue: str
    incarnation: str
    control: str
    surplus: int


@dataclass(frozen=True, slots=True)
class StealRequests:
    """Release pending requests: another worker could start ``room`` of them at once."""

    room: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's message to itself: when it arrives, Redis carries messages."""

    control: str
