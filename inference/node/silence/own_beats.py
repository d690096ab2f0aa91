"""Whether this node hears Redis: its own beats, which it sends there, come back.

It says so in its row. A node that is cut off from Redis, and not from the database,
beats there as if nothing were wrong, but nobody reaches its workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_manager.lib.clocks.awake_clock import AwakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than the seconds between two beats of a node on which nothing goes on.
DEAF_AFTER_S = 8.0


class OwnBeats:
    """When this node last heard itself. A pause of this process is no silence."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or AwakeClock()
        self._heard_at = self._clock()

    def hear(self) -> None:
        """Note that a beat has come back, or that none was sent."""
        self._heard_at = self._clock()

    @property
    def silent_s(self) -> float:
        """Seconds since then."""
        return self._clock() - self._heard_at

    @property
    def is_deaf(self) -> bool:
        """Whether Redis carries nothing of this node."""
        return self.silent_s > DEAF_AFTER_S
