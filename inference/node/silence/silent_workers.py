"""Notices that the workers of another node are gone, long before their rows say so.

A node that is not alone writes a row every second, and its workers say over Redis every
second that they serve. If both stop, the node is dead, frozen or cut off, and another
one loads its models. If only one of them stops, the database or one process stands
still, and nothing is gained by moving a model.

Silence is counted in beats, which this process sends to itself over Redis: while Redis
or this process stands still, nobody else is silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from inference.transport.messages.peers import WorkerHeartbeat

#: Heartbeats of a worker that may be late or lost.
SILENT_BEATS = 3


class SilentWorkers:
    """How many beats each worker of other nodes has been silent."""

    def __init__(self) -> None:
        self._silent: dict[str, int] = {}

    def follow(self, incarnations: Collection[str]) -> None:
        """Listen to these workers, and to no others any more."""
        self._silent = {each: self._silent.get(each, 0) for each in incarnations}

    def put(self, heartbeat: WorkerHeartbeat) -> None:
        """Note that a worker serves."""
        if heartbeat.incarnation in self._silent:
            self._silent[heartbeat.incarnation] = 0

    def beat(self) -> bool:
        """Count a beat; return whether a worker has just become silent."""
        for incarnation in self._silent:
            self._silent[incarnation] += 1
        return SILENT_BEATS in self._silent.values()

    @property
    def is_empty(self) -> bool:
        """Whether there are no workers elsewhere."""
        return not self._silent

    @property
    def silent(self) -> frozenset[str]:
        """The workers that have not been heard for too long."""
        return frozenset(
            each for each, beats in self._silent.items() if beats >= SILENT_BEATS
        )

    @property
    def heard(self) -> frozenset[str]:
        """The workers that have been heard, or not yet missed."""
        return frozenset(self._silent) - self.silent
