"""Remembers when each key had sequences, and when it may ask again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.scheduling.fairness.fair_shares import KeyDemand
from inference.engine.scheduling.pacing.smoothed import Smoothed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A key that asks one question after the other is expected to ask again for this many
#: times as long as it has paused before. It would else wait each time for a step that
#: others have filled in between.
PATIENCE = 4.0
#: No key is expected for more seconds than this: others' sequences stand still for it.
EXPECTED_AT_MOST_S = 2.0
#: One whose sequences take more steps than this is not expected: a long step before
#: them is little beside these.
SHORT_STAY = 16
#: For so long after its last sequence a key may come back: nobody else fills whole
#: batches meanwhile, which take seconds.
_MAY_COME_BACK_S = 60.0
#: A key that has not come so many deviations after its usual pause, and not in so many
#: times this pause, does not come at its usual time. Where clients and server share
#: processors, a few requests come much later than the deviation of the others says.
_LATE, _LATE_TIMES = 4.0, 1.5


@dataclass(frozen=True, slots=True)
class Due:
    """When a key usually asks again, and until when it does if it does as usual.

    ``stay_s`` is what its last requests took from their first step on.
    """

    at: float
    until: float
    stay_s: float


@dataclass(slots=True)
class _Visit:
    """When a key had a sequence last, and how long it is away between two.

    ``longest_s`` is its longest pause of late; 0 until it has come back once. ``steps``
    are those of its stay, the first of which began at ``began_at``.
    """

    at: float
    weight: float
    began_at: float
    longest_s: float = 0.0
    pauses: Smoothed = field(default_factory=Smoothed)
    steps: int = 0
    is_away: bool = False

    def is_expected(self, now: float) -> bool:
        """Whether it may ask again at any moment, and would notice a long step."""
        patience_s = min(PATIENCE * self.longest_s, EXPECTED_AT_MOST_S)
        is_short = self.steps <= SHORT_STAY
        return self.is_away and is_short and now - self.at < patience_s

    def come(self, came_at: float, now: float, weight: float) -> None:
        """Note that it has a sequence now, which came then.

        A long pause counts for a while.
        """
        if self.is_away:
            pause_s = max(came_at - self.at, 0.0)
            self.pauses.add(pause_s)
            self.longest_s = max(pause_s, self.longest_s / 2)
            self.steps = 0
            self.began_at = now
        self.steps += 1
        self.at, self.weight, self.is_away = now, weight, False

    def leave(self, now: float) -> None:
        """Note that its last sequence has ended."""
        if not self.is_away:
            self.at, self.is_away = now, True

    @property
    def due(self) -> Due:
        """When it asks again if it does as before."""
        pauses = self.pauses
        late_s = max(pauses.above(_LATE), _LATE_TIMES * pauses.mean)
        stay_s = self.at - self.began_at
        return Due(self.at + pauses.mean, self.at + late_s, stay_s)


class Visits:
    """The keys that had sequences lately."""

    def __init__(self) -> None:
        self._visits: dict[str, _Visit] = {}
        #: When each key had a sequence last.
        self._seen: dict[str, float] = {}

    @property
    def is_alone(self) -> bool:
        """Whether no more than one key has had a sequence lately."""
        return len(self._seen) < 2

    def note(
        self, demands: Mapping[str, KeyDemand], came_at: Mapping[str, float], now: float
    ) -> None:
        """Note which keys have sequences now, and when the first of them came."""
        self._see(demands, now)
        self._visits = {
            key: visit
            for key, visit in self._visits.items()
            if now - visit.at < EXPECTED_AT_MOST_S
        }
        self.leave(demands, now)
        for key, demand in demands.items():
            visit = self._visits.get(key)
            if visit is None:
                visit = self._visits[key] = _Visit(now, demand.weight, now)
            visit.come(came_at[key], now, demand.weight)

    def note_idle(self, keys: Iterable[str], now: float) -> None:
        """Note that only what is ``idle_only`` runs, of these keys."""
        self._see(keys, now)
        self.leave(keys, now)

    def leave(self, keys: Iterable[str], now: float) -> None:
        """Note that only these keys have sequences left."""
        here = set(keys)
        for key, visit in self._visits.items():
            if key not in here:
                visit.leave(now)

    def expected(self, now: float) -> dict[str, KeyDemand]:
        """Return the keys that may ask again soon, as if each had one sequence."""
        return {
            key: KeyDemand(1, visit.weight)
            for key, visit in self._visits.items()
            if visit.is_expected(now)
        }

    def due(self, key: str) -> Due:
        """Return when an expected key asks again, if it does as before."""
        return self._visits[key].due

    def _see(self, keys: Iterable[str], now: float) -> None:
        for key in keys:
            # The one that was seen last is the last.
            self._seen.pop(key, None)
            self._seen[key] = now
        while self._seen:
            key = next(iter(self._seen))
            if now - self._seen[key] < _MAY_COME_BACK_S:
                break
            del self._seen[key]
