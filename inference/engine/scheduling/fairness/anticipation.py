"""Leaves the engine idle for a moment when a light key is about to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.scheduling.pacing.smoothed import Smoothed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from inference.engine.scheduling.fairness.visits import Due

#: The engine waits at most this multiple of what heavy keys' steps take while a light
#: key is away: half of this time.
_SHARE = 1.0
#: No more seconds than this are saved up for it.
_MOST_S = 0.25
#: A step may begin that a key waits for no longer than this multiple of what its own
#: request takes.
_HOLD_UP = 0.5
#: A step is taken to be so many deviations longer than usual: some are, because the
#: light key's request and its answer are on their way through the same processors.
_LONG = 2.0


class Anticipation:
    """Decides when a step of heavy keys would hold up a light key that is due.

    A key that asks one question after the other comes at nearly the same time after
    each answer. If a step begins just before that, it waits for the end of the step. To
    wait for the key instead is anticipatory scheduling (Iyer and Druschel,
    "Anticipatory scheduling: A disk scheduling framework to overcome deceptive idleness
    in synchronous I/O", SOSP 2001). How long the engine waits in all is an account in
    seconds, to which steps of heavy keys add.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._steps = Smoothed()
        self._waiting_since: float | None = None
        self._stepping_since: float | None = None
        #: For how long it has waited in all.
        self.waited_s = 0.0

    def wait_s(self, awaited: Collection[Due]) -> float:
        """Return for how long no step is to begin unless somebody comes; 0 for none.

        ``awaited`` are the light keys that are away. A step follows if it is 0.
        """
        now = self._clock()
        self._end_wait(now)
        step_s = self._steps.above(_LONG)
        held_up = [
            due
            for due in awaited
            if due.at + _HOLD_UP * due.stay_s < now + step_s and now < due.until
        ]
        # Longer than the step would take is more than it is worth.
        latest = max((due.until for due in held_up), default=now)
        until = min(latest, now + min(step_s, self._seconds))
        # Too little for the first of them to come is of no use.
        if until > now and any(due.at <= until for due in held_up):
            self._waiting_since = now
            return until - now
        self._stepping_since = now if awaited else None
        return 0.0

    def end_step(self) -> None:
        """Note that a step has ended."""
        if self._stepping_since is not None:
            took_s = self._clock() - self._stepping_since
            self._stepping_since = None
            self._steps.add(took_s)
            self._seconds = min(self._seconds + _SHARE * took_s, _MOST_S)

    def _end_wait(self, now: float) -> None:
        if self._waiting_since is not None:
            waited_s = now - self._waiting_since
            self._waiting_since = None
            self.waited_s += waited_s
            self._seconds -= waited_s
