"""What workers have measured, for the next load of the same model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.scheduling.pacing.measured import Measured

#: After an hour the machine may be busy with something else.
_KEPT_FOR_S = 3600.0


class MeasuredTimes:
    """Keeps what a worker of this node has measured, by how its model was loaded."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[EngineConfig, tuple[float, Measured]] = {}

    def note(self, engine: EngineConfig, measured: Measured | None) -> None:
        """Keep what was measured, unless it is what was measured before."""
        if measured is not None and measured != self.of(engine):
            self._kept[engine] = self._clock(), measured

    def of(self, engine: EngineConfig) -> Measured | None:
        """Return what was measured within the hour, if anything was."""
        oldest = self._clock() - _KEPT_FOR_S
        self._kept = {
            each: kept for each, kept in self._kept.items() if kept[0] > oldest
        }
        found = self._kept.get(engine)
        return None if found is None else found[1]
