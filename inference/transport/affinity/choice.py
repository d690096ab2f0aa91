"""Which replica a request is sent to: the one with its prefix, or none. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """How many requests a replica has, and how many can run there at once."""

    requests: int
    slots: int

    @property
    def has_room(self) -> bool:
        """Whether one more could start at once."""
        return self.requests < self.slots


def choose_replica(
    shares: Mapping[str, float], loads: Mapping[str, ReplicaLoad], *, bound: int
) -> str:
    """Return the replica that has most of a prompt, of those that are not too busy.

    ``shares`` of the prompt are from 0 to 1. A replica may have ``bound`` requests more
    than the least busy one for a whole prompt, and less for a part of it; without a
    free slot it is too busy while another one has any. Returns "" if none is left.
    """
    least = min(load.requests for load in loads.values())
    is_room_anywhere = any(load.has_room for load in loads.values())
    fit = [
        name
        for name, share in shares.items()
        if loads[name].requests - least <= bound * share
        and (loads[name].has_room or not is_room_anywhere)
    ]
    return max(fit, key=lambda name: (shares[name], -loads[name].requests), default="")
