"""From one worker of a model to another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A worker serves at ``control``; ``surplus`` requests there cannot start yet."""

    control: str
    surplus: int


@dataclass(frozen=True, slots=True)
class StealRequests:
    """Hand pending requests back: another worker could start ``room`` at once."""

    room: int
