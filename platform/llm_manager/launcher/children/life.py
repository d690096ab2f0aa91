"""The launcher's end of the pipe on which a child shows that it lives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Life:
    """How long a child has been silent, by a clock that leaves out the pauses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._heard_at: float | None = None

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last sign of life; None before the first one."""
        if self._hear():
            self._heard_at = self._clock()
        return None if self._heard_at is None else self._clock() - self._heard_at

    def child_started(self) -> None:
        """Close the child's end, which is the child's alone now."""
        os.close(self.writer)

    def close(self) -> None:
        """Close the launcher's end."""
        os.close(self._reader)

    def _hear(self) -> bool:
        try:
            return bool(os.read(self._reader, 4096))
        except BlockingIOError:
            return False
