"""Chooses which sequences run while several keys have some."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from inference.engine.scheduling.fairness.fair_shares import KeyDemand, fair_shares
from inference.engine.scheduling.fairness.visits import Visits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from inference.engine.kv_cache.slots import Slots
    from inference.engine.scheduling.fairness.fair_queue import FairQueue
    from inference.engine.scheduling.fairness.visits import Due
    from inference.engine.scheduling.pacing.step_times import StepTimes
    from inference.engine.sequence import Sequence


class KeyShares:
    """Limits each key to its share of the running sequences.

    A key's requests that wait to be prepared count with its sequences, for they come
    a few at a time. A single key has no limit. Requests that are ``idle_only`` have no
    share while there are others. A sequence beyond its key's share is preempted if
    others need its slot; else it pauses, and keeps slot and cells.
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
        self._visits = Visits()
        #: How many keys are expected to ask again.
        self.num_expected = 0
        #: When light ones of them do, while only heavy ones have sequences.
        self.awaited: list[Due] = []
        #: The keys with fewer sequences than their even share.
        self.light: frozenset[str] = frozenset()
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
        """Compute the shares of the keys of these sequences, the newest last."""
        counts = _counts(unfinished)
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
        expected = self._expected(demands, unfinished, is_idle=is_idle)
        if len(demands) + len(expected) > self._slots.count:
            # No slot stays empty for one who may come while another waits.
            expected = {}
        # Who comes while only idle ones run waits for the step that they are in.
        self.num_expected = max(len(expected), int(is_idle and bool(counts)))
        light = frozenset() if self.light else _light(demands | expected)
        self.awaited = [self._visits.due(key) for key in light.intersection(expected)]
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
        keys = {sequence.request.share for sequence in unfinished}
        self._visits.leave(keys, self._clock())

    def _expected(
        self,
        demands: Mapping[str, KeyDemand],
        unfinished: Iterable[Sequence],
        *,
        is_idle: bool,
    ) -> dict[str, KeyDemand]:
        """Note which keys have sequences; return those that may ask again soon."""
        now = self._clock()
        if is_idle:
            self._visits.note_idle(demands, now)
        else:
            came_at: dict[str, float] = {}
            for sequence in unfinished:
                key, at = sequence.request.share, sequence.queued_at
                came_at[key] = min(at, came_at.get(key, at))
            self._visits.note(demands, came_at, now)
        return self._visits.expected(now)

    @property
    def is_alone(self) -> bool:
        """Whether no more than one key has had a sequence lately."""
        return self._visits.is_alone

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


def _counts(unfinished: Iterable[Sequence]) -> Counter[str]:
    """Return how many requests each key has, with those that wait to be prepared."""
    counts = Counter(sequence.request.share for sequence in unfinished)
    counts.update({s.request.share: s.num_behind for s in unfinished})
    return counts


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
