"""Waiting sequences, in the order that is fair to the flows they belong to."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What an output token costs beside a prompt token: a decode moves one token
#: through the weights where a prefill moves hundreds. The value is the paper's.
OUTPUT_COST = 2


class Claim(Protocol):
    """Whose a request is, and how urgent."""

    @property
    def flow(self) -> str:
        """The flow that it belongs to."""

    @property
    def weight(self) -> float:
        """The flow's share."""

    @property
    def priority(self) -> int:
        """Within the flow a lower one goes first."""


class Queued(Protocol):
    """What can be queued."""

    @property
    def request(self) -> Claim:
        """What it is for."""

    @property
    def arrival(self) -> int:
        """Its place in the order of arrival."""


_Item = TypeVar("_Item", bound=Queued)


@dataclass(slots=True)
class _Flow(Generic[_Item]):
    """One key's share: what it was served, by weight, and what it waits for."""

    weight: float
    served: float
    alive: int = 0
    waiting: list[tuple[int, int, _Item]] = field(default_factory=list)


class FairQueue(Generic[_Item]):
    """Weighted fair queueing by virtual token counters.

    The flow that was served least, by its weight, is next. A flow that was idle
    starts at the least counter of those that are not, so that nobody saves up
    idle time. After Sheng et al., "Fairness in Serving Large Language Models",
    OSDI 2024 (arXiv:2401.00588). Within a flow the lower priority number goes
    first, then the earlier arrival.
    """

    def __init__(self) -> None:
        self._flows: dict[str, _Flow[_Item]] = {}
        self._least = 0.0

    def __len__(self) -> int:
        return sum(len(flow.waiting) for flow in self._flows.values())

    def __iter__(self) -> Iterator[_Item]:
        for flow in self._flows.values():
            for _, _, sequence in flow.waiting:
                yield sequence

    def enter(self, sequence: _Item) -> None:
        """Queue a new sequence."""
        request = sequence.request
        flow = self._flows.get(request.flow)
        if flow is None:
            flow = _Flow(request.weight, self._floor())
            self._flows[request.flow] = flow
        flow.weight = request.weight
        flow.alive += 1
        self.put_back(sequence)

    def put_back(self, sequence: _Item) -> None:
        """Queue a sequence that ran and must wait again, at its old place."""
        flow = self._flows[sequence.request.flow]
        place = (sequence.request.priority, sequence.arrival, sequence)
        insort(flow.waiting, place, key=lambda item: item[:2])

    def first(self, is_ready: Callable[[_Item], bool]) -> _Item | None:
        """Return the sequence that is next among those that are ready."""
        for flow in sorted(self._flows.values(), key=lambda flow: flow.served):
            for _, _, sequence in flow.waiting:
                if is_ready(sequence):
                    return sequence
        return None

    def take(self, sequence: _Item) -> None:
        """Take a sequence out: it runs now, or has ended."""
        waiting = self._flows[sequence.request.flow].waiting
        waiting[:] = [item for item in waiting if item[2] is not sequence]

    def leave(self, sequence: _Item) -> None:
        """Forget a sequence that has ended; it waits no more."""
        name = sequence.request.flow
        flow = self._flows[name]
        flow.alive -= 1
        if not flow.alive:
            self._least = max(self._least, flow.served)
            del self._flows[name]
            if self._flows:
                self._least = self._floor()

    def charge(self, sequence: _Item, *, prefill: int = 0, output: int = 0) -> None:
        """Count tokens that were computed for a sequence's flow."""
        flow = self._flows[sequence.request.flow]
        flow.served += (prefill + OUTPUT_COST * output) / flow.weight

    @property
    def num_flows(self) -> int:
        """Flows that have sequences, waiting or running."""
        return len(self._flows)

    def served(self, name: str) -> float:
        """Return a flow's counter: the lower, the sooner it is next."""
        return self._flows[name].served

    def weight(self, name: str) -> float:
        """Return a flow's weight."""
        return self._flows[name].weight

    def waiting_by_flow(self) -> dict[str, int]:
        """Return how many sequences of each flow wait, or run, if none: 0."""
        return {name: len(flow.waiting) for name, flow in self._flows.items()}

    def _floor(self) -> float:
        return min((flow.served for flow in self._flows.values()), default=self._least)
