"""A processor that does one thing after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Server:
    """When it is free again, how long it has worked, and when it was asked last."""

    free_at: float = 0.0
    busy_s: float = 0.0
    asked_at: float = 0.0

    def work(self, now: float, seconds: float) -> float:
        """Do something that comes now; return when it is done.

        Raises ValueError for what comes before what came last: that would wait for
        something that is not there yet.
        """
        if now < self.asked_at:
            raise ValueError(f"{now} comes after {self.asked_at}")
        self.asked_at = now
        self.free_at = max(now, self.free_at) + seconds
        self.busy_s += seconds
        return self.free_at
