"""How often the workers of a row lost an RPC server, and when to try the next load."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: A worker that served for longer begins a new count.
_SERVES_S = 30.0
_MOST_LOSSES = 5
_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class _Losses:
    count: int = 0
    try_at: float = 0.0
    waits_since: float | None = None


class LostServers:
    """Counts, by row. The pause before the next load doubles with each loss."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[int, _Losses] = {}

    def note(self, row_id: int, served_s: float) -> bool:
        """Count a loss of a worker that has served so long; whether to try again."""
        losses = self._rows.setdefault(row_id, _Losses())
        losses.count = 1 if served_s > _SERVES_S else losses.count + 1
        pause_s = min(2.0 ** (losses.count - 1), _LONGEST_PAUSE_S)
        losses.try_at = self._clock() + pause_s
        losses.waits_since = None
        return losses.count < _MOST_LOSSES

    def pause_s(self, row_id: int) -> float:
        """Return how long the next load of a row has to wait, in seconds."""
        losses = self._rows.get(row_id)
        return max(losses.try_at - self._clock(), 0.0) if losses else 0.0

    def waited_s(self, row_id: int) -> float:
        """Return for how many seconds a row has waited, from the first call on."""
        losses = self._rows.setdefault(row_id, _Losses())
        if losses.waits_since is None:
            losses.waits_since = self._clock()
        return self._clock() - losses.waits_since

    def found(self, row_id: int) -> None:
        """Note that a row waits no more: its servers are there."""
        if row_id in self._rows:
            self._rows[row_id].waits_since = None

    def forget(self, row_id: int) -> None:
        """Drop what is known of a row: it failed, or is gone."""
        self._rows.pop(row_id, None)
