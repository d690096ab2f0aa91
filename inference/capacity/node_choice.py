"""Which of several nodes should load a worker; the others leave it to that one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node has for one more worker of a model.

    ``of_model`` are its workers of the model, ``free`` is the share of its memory that
    is left; ``has_room``: it needs no eviction.
    """

    of_model: int
    free: float
    has_room: bool


def is_better(other: NodeRoom, own: NodeRoom, *, placement: str) -> bool:
    """Return whether another node should load a worker rather than this one.

    ``spread``: the one with fewer workers of the model, then with more free memory;
    ``pack``: the one with less free memory. One without room is never better.
    """
    if not other.has_room or not own.has_room:
        return other.has_room
    if placement == "pack":
        return other.free < own.free
    return (other.of_model, -other.free) < (own.of_model, -own.free)
