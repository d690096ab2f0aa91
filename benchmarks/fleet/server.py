"""A processor that does one thing after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Server:
    """When it is free again, and how long it has worked."""

    free_at: float = 0.0
    busy_s: float = 0.0

    def work(self, now: float, seconds: float) -> float:
        """Do something that comes now; return when it is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.busy_s += seconds
        return self.free_at
