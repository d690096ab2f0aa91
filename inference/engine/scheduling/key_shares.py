"""Chooses which sequences run while several keys have some."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.scheduling.fair_shares import KeyDemand, fair_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fair_queue import FairQueue
    from inference.engine.scheduling.pacing.step_times import StepTimes
    from inference.engine.sequence import Sequence


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


@dataclass(slots=True)
class _Visit:
    """When a key had a sequence last, and how long it was away between two.

    ``pause_s`` is 0 until it has come back once. ``steps`` are those of its stay.
    """

    at: float
    weight: float
    pause_s: float = 0.0
    steps: int = 0
    is_away: bool = False

    def is_expected(self, now: float) -> bool:
        """Whether it may ask again at any moment, and would notice a long step."""
        patience_s = min(PATIENCE * self.pause_s, EXPECTED_AT_MOST_S)
        is_short = self.steps <= SHORT_STAY
        return self.is_away and is_short and now - self.at < patience_s

    def come(self, now: float, weight: float) -> None:
        """Note that it has a sequence now. A long pause counts for a while."""
        if self.is_away:
            self.pause_s = max(now - self.at, self.pause_s / 2)
            self.steps = 0
        self.steps += 1
        self.at, self.weight, self.is_away = now, weight, False

    def leave(self, now: float) -> None:
        """Note that its last sequence has ended."""
        if not self.is_away:
            self.at, self.is_away = now, True


class KeyShares:
    """Limits each key to its share of the running sequences.

    A single key has no limit. Requests that are ``idle_only`` have no share while there
    are others. A sequence beyond its key's share is preempted if others
    need its slot; else it pauses, and keeps slot and cells.
    """

    def __init__(
        self,
        queue: FairQueue[Sequence],
        slots: Slots,
        times: StepTimes,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._times = times
        self._clock = clock
        self._visits: dict[str, _Visit] = {}
        #: How many keys are expected to ask again.
        self.num_expected = 0
        #: The keys with fewer sequences than their even share.
        self.light: frozenset[str] = frozenset()
        #: When each key had a sequence last.
        self._seen: dict[str, float] = {}
        self._demands: dict[str, KeyDemand] | None = None
        #: The shares of those that wait until nobody else is here.
        self._holding: set[str] = set()
        #: The maximum of running sequences of each key; None if one key has all of
        #: them.
        self._shares: dict[str, int] | None = None

    def reset(self) -> None:
        """Compute the shares again: the number of slots has changed."""
        self._demands = None

    def update(self, unfinished: Collection[Sequence]) -> None:
        """Compute the shares of the keys of these sequences."""
        counts = Counter(sequence.request.share for sequence in unfinished)
        is_idle = self._queue.is_idle
        holding = set()
        if not is_idle:
            holding = {s.request.share for s in unfinished if s.request.idle_only}
        demands = {
            key: KeyDemand(count, self._queue.weight(key))
            for key, count in counts.items()
            if key not in holding
        }
        self.light = _light(demands)
        expected = self._expected(demands, is_idle=is_idle)
        if len(demands) + len(expected) > self._slots.count:
            # No slot stays empty for one who may come while another waits.
            expected = {}
        # Who comes while only idle ones run waits for the step that they are in.
        self.num_expected = max(len(expected), int(is_idle and bool(counts)))
        demands |= expected
        if len(demands) + len(holding) < 2:
            self._demands = self._shares = None
            self._holding = set()
            return
        # Step times drift slowly, so the shares stay while the demands do.
        if demands == self._demands and holding == self._holding:
            return
        self._demands, self._holding = demands, holding
        times = self._times
        self._shares = fair_shares(
            demands,
            n_seq_max=self._slots.count,
            step_seconds=_step_seconds(times) if times.knows_batches else None,
        ) | dict.fromkeys(holding, 0)

    def leave(self, unfinished: Iterable[Sequence]) -> None:
        """Note which keys have no sequence any more, now that some have ended.

        Nothing else says so where no step follows: a key that is alone is away then.
        """
        here = {sequence.request.share for sequence in unfinished}
        now = self._clock()
        for key, visit in self._visits.items():
            if key not in here:
                visit.leave(now)

    def _expected(
        self, demands: Mapping[str, KeyDemand], *, is_idle: bool
    ) -> dict[str, KeyDemand]:
        """Note which keys have sequences; return those that may ask again soon."""
        now = self._clock()
        self._see(demands, now)
        self._visits = {
            key: visit
            for key, visit in self._visits.items()
            if now - visit.at < EXPECTED_AT_MOST_S
        }
        for key, visit in self._visits.items():
            visit.is_away |= key not in demands
        if not is_idle:
            for key, demand in demands.items():
                visit = self._visits.setdefault(key, _Visit(now, demand.weight))
                visit.come(now, demand.weight)
        return {
            key: KeyDemand(1, visit.weight)
            for key, visit in self._visits.items()
            if visit.is_expected(now)
        }

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

    @property
    def is_alone(self) -> bool:
        """Whether no more than one key has had a sequence lately."""
        return len(self._seen) < 2

    def has_room(self, key: str) -> bool:
        """Whether one more sequence of a key may run."""
        return self._shares is None or self._running()[key] < self._shares[key]

    def to_preempt(self) -> list[Sequence]:
        """Return the youngest beyond their key's share whose slots others need."""
        if self._shares is None:
            return []
        running = self._running()
        waiting = self._queue.waiting_by_key()
        needed = sum(
            min(waiting.get(key, 0), max(share - running[key], 0))
            for key, share in self._shares.items()
        )
        missing = needed - self._slots.num_free
        found: list[Sequence] = []
        by_age = sorted(self._slots.running, key=lambda sequence: sequence.order)
        for sequence in reversed(by_age):
            key = sequence.request.share
            if len(found) < missing and running[key] > self._shares[key]:
                running[key] -= 1
                found.append(sequence)
        return found

    def held(self) -> list[Sequence]:
        """Return those that have a slot and wait until nobody else is here.

        The first is to be preempted first.
        """
        held = [s for s in self._slots.running if s.request.share in self._holding]
        return sorted(held, key=lambda sequence: sequence.order, reverse=True)

    def paused(self) -> set[Sequence]:
        """Return the sequences that have a slot but are not computed."""
        if self._shares is None:
            return set()
        return set(self._slots.running).difference(self.active())

    def active(self) -> list[Sequence]:
        """Return the sequences that are computed: no key has more than its share.

        Of a key beyond its share, those next to the others' slots are chosen.
        """
        running = self._slots.running
        if self._shares is None:
            return running
        by_key: dict[str, list[Sequence]] = {}
        for sequence in running:
            by_key.setdefault(sequence.request.share, []).append(sequence)
        active: list[Sequence] = []
        for key in sorted(by_key, key=lambda key: len(by_key[key])):
            members = by_key[key]
            if len(members) > self._shares[key] and active:
                middle = sum(s.slot or 0 for s in active) / len(active)
                members.sort(key=lambda s: abs((s.slot or 0) - middle))
            active += members[: self._shares[key]]
        return active

    def _running(self) -> Counter[str]:
        return Counter(sequence.request.share for sequence in self._slots.running)


def _step_seconds(times: StepTimes) -> Callable[[int], float]:
    return lambda count: times.short_s(count) or 0.0


def _light(demands: Mapping[str, KeyDemand]) -> frozenset[str]:
    """Return the keys with fewer sequences than an even share by weight."""
    total = sum(demand.count for demand in demands.values())
    weights = sum(demand.weight for demand in demands.values())
    return frozenset(
        key
        for key, demand in demands.items()
        if demand.count * weights < total * demand.weight
    )
