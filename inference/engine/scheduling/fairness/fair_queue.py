"""The queue of waiting sequences, fair between API keys."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The cost of an output token, in prompt tokens: a decode moves one token through
#: the weights where a prefill moves hundreds. The weight of output tokens in the
#: paper that ``FairQueue`` follows.
OUTPUT_COST = 2


class KeyedRequest(Protocol):
    """A request that belongs to an API key."""

    @property
    def share(self) -> str:
        """Whose share it counts towards: mostly an API key."""

    @property
    def weight(self) -> float:
        """The key's weight."""

    @property
    def priority(self) -> int:
        """Among one key's requests, a lower number goes first."""

    @property
    def idle_only(self) -> bool:
        """Whether it waits for all that are not."""


class Queueable(Protocol):
    """What can wait in the queue."""

    @property
    def request(self) -> KeyedRequest:
        """The request that it computes."""

    @property
    def arrival(self) -> int:
        """The position in the order of arrival."""


_Item = TypeVar("_Item", bound=Queueable)


@dataclass(slots=True)
class _KeyQueue(Generic[_Item]):
    """The queue of one key; ``served`` is its virtual token counter.

    ``unfinished`` counts waiting and running sequences.
    """

    weight: float
    served: float
    idle_only: bool = False
    unfinished: int = 0
    waiting: list[tuple[int, int, _Item]] = field(default_factory=list)


class FairQueue(Generic[_Item]):
    """Weighted fair queueing by virtual token counters.

    The key with the least service for its weight is next. A key that was idle starts at
    the lowest counter of the active ones, so that idle time is not saved up. After
    Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024
    (arXiv:2401.00588). Of one key's sequences the lower priority number goes first,
    then the earlier arrival. Requests that are ``idle_only`` wait until there is no
    other, waiting or running.
    """

    def __init__(self) -> None:
        self._queues: dict[str, _KeyQueue[_Item]] = {}
        self._least_served = 0.0

    def __len__(self) -> int:
        return sum(len(queue.waiting) for queue in self._queues.values())

    def __iter__(self) -> Iterator[_Item]:
        for queue in self._queues.values():
            for _, _, sequence in queue.waiting:
                yield sequence

    def enter(self, sequence: _Item) -> None:
        """Queue a new sequence."""
        request = sequence.request
        queue = self._queues.get(request.share)
        if queue is None:
            queue = _KeyQueue(request.weight, self._floor(), request.idle_only)
            self._queues[request.share] = queue
        queue.weight = request.weight
        queue.unfinished += 1
        self.put_back(sequence)

    def put_back(self, sequence: _Item) -> None:
        """Queue a preempted sequence again, at its old place."""
        queue = self._queues[sequence.request.share]
        place = (sequence.request.priority, sequence.arrival, sequence)
        insort(queue.waiting, place, key=lambda item: item[:2])

    def first(self, is_ready: Callable[[_Item], bool]) -> _Item | None:
        """Return the sequence that is next among those that are ready."""
        for queue in sorted(self._eligible(), key=lambda queue: queue.served):
            for _, _, sequence in queue.waiting:
                if is_ready(sequence):
                    return sequence
        return None

    def take(self, sequence: _Item) -> None:
        """Remove a sequence that runs now, or has ended."""
        waiting = self._queues[sequence.request.share].waiting
        waiting[:] = [item for item in waiting if item[2] is not sequence]

    def leave(self, sequence: _Item) -> None:
        """Remove a sequence that has ended and is not waiting."""
        key = sequence.request.share
        queue = self._queues[key]
        queue.unfinished -= 1
        if not queue.unfinished:
            self._least_served = max(self._least_served, queue.served)
            del self._queues[key]
            if self._queues:
                self._least_served = self._floor()

    def charge(self, sequence: _Item, *, prefill: int = 0, output: int = 0) -> None:
        """Charge a sequence's key for computed tokens."""
        queue = self._queues[sequence.request.share]
        queue.served += (prefill + OUTPUT_COST * output) / queue.weight

    @property
    def num_keys(self) -> int:
        """The number of keys with waiting or running sequences."""
        return len(self._queues)

    def served(self, key: str) -> float:
        """Return a key's counter: the lowest is next."""
        return self._queues[key].served

    def weight(self, key: str) -> float:
        """Return a key's weight."""
        return self._queues[key].weight

    def waiting_by_key(self) -> dict[str, int]:
        """Return the number of waiting sequences of each key; 0 if all run."""
        return {key: len(queue.waiting) for key, queue in self._queues.items()}

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing but requests that are ``idle_only``."""
        return all(queue.idle_only for queue in self._queues.values())

    def _eligible(self) -> list[_KeyQueue[_Item]]:
        """Return the queues of those that may run now."""
        queues = list(self._queues.values())
        return [q for q in queues if not q.idle_only] or queues

    def _floor(self) -> float:
        counters = (queue.served for queue in self._eligible())
        return min(counters, default=self._least_served)
