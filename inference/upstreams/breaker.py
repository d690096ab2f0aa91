"""Stops sending requests to an upstream that fails, and tries again after a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class CircuitBreaker:
    """Closed while an upstream answers; open after ``failures`` in a row.

    An open one refuses for ``pause_s``; then it is half-open: one request may try.
    """

    def __init__(
        self,
        *,
        failures: int,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._pause_s = pause_s
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probe_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it refuses, but for a probe."""
        return self._opened_at is not None

    def refuses_for(self) -> float | None:
        """Return the seconds for which a request is refused now; None if it may go.

        The one that may go through an open breaker is the probe: it ends with
        ``succeed``, ``fail`` or ``give_up``, or another one goes after the same pause.
        """
        if self._opened_at is None:
            return None
        now = self._clock()
        waits_until = self._probe_until or self._opened_at + self._pause_s
        if now < waits_until:
            return waits_until - now
        self._probe_until = now + self._pause_s
        return None

    def judge(self, result: str) -> bool:
        """Note how a request ended, in the words of ``llm_upstream_requests``.

        Return whether it opens now, for the first time or again.
        """
        if result in ("failed", "timeout"):
            self.fail()
            return self.is_open
        if result == "abandoned":
            self.give_up()
        else:
            # It answers, whatever it says.
            self.succeed()
        return False

    def succeed(self) -> None:
        """Note that the upstream has answered."""
        self._failures = 0
        self._opened_at = self._probe_until = None

    def fail(self) -> None:
        """Note that it has failed."""
        self._failures += 1
        if self._opened_at is not None or self._failures >= self._most:
            self._opened_at, self._probe_until = self._clock(), None

    def give_up(self) -> None:
        """Note that a request ended without saying anything of the upstream."""
        self._probe_until = None
