"""Messages of workers to each other and to those who follow the model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A worker serves at ``control``; ``surplus`` of its requests cannot start yet.

    ``queue`` is the queue of its model, ``incarnation`` names the process. It has
    ``requests``, of which ``slots`` can run at once; ``prefixes`` are hashes of the
    beginnings of prompts that it has got since its last one. With ``is_leaving`` it
    is its last one: the worker takes no more requests. ``requests_by`` says how many of
    them are of which web process, by its channel for events.
    """

    queue: str
    incarnation: str
    control: str
    surplus: int
    requests: int = 0
    slots: int = 0
    prefixes: tuple[int, ...] = ()
    is_leaving: bool = False
    requests_by: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StealRequests:
    """Release pending requests: another worker could start ``room`` of them at once."""

    room: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's message to itself: when it arrives, Redis carries messages."""

    control: str
