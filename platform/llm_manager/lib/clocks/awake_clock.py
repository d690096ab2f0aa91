"""A clock that leaves out the time in which its process did not run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than this between two readings was a pause. A choice: twice the interval at
#: which the processes read the clock.
_LONGEST_STEP_S = 2.0
#: The same for clocks that are read every three seconds, as processes at rest do.
LONGEST_STEP_AT_REST_S = 4.0


class AwakeClock:
    """Seconds that this process was awake, as far as its readings show.

    Who measures how long another process is silent must not count the time in which
    it could not listen itself: a suspended machine, a stopped process, a swapped-out
    one. Somebody reads the clock every second; of a longer gap only 2 s count, or
    ``longest_step_s`` where it is read more seldom.
    """

    def __init__(
        self,
        *,
        longest_step_s: float = _LONGEST_STEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest_step_s = longest_step_s
        self._clock = clock
        self._read_at = clock()
        self._awake_s = 0.0

    def __call__(self) -> float:
        """Return the seconds awake since the clock was made."""
        now = self._clock()
        self._awake_s += min(now - self._read_at, self._longest_step_s)
        self._read_at = now
        return self._awake_s
