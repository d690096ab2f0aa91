"""How fast bytes may pass, of all who share a network."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ByteRate:
    """Lets ``per_s`` bytes a second pass, of all threads together; 0: no limit."""

    def __init__(
        self, per_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._clock = clock
        self._lock = Lock()
        self._due_at = 0.0

    def passed(self, count: int) -> float:
        """Note that so many bytes have passed; return the seconds to wait for them."""
        if not self._per_s:
            return 0.0
        with self._lock:
            now = self._clock()
            self._due_at = max(self._due_at, now) + count / self._per_s
            return self._due_at - now
