"""Keeps a worker's accepted requests, and the order of the pending ones.

The engine decides what starts when. This is the worker's estimate of it, outside the
engine thread: enough to report a request's position, to choose which one to refuse when
too many are pending, and which ones to release to a worker with room.

The order is start-time fair queueing [Goyal, Vin, Cheng 1996] with every request of
cost 1 and all keys level: the n-th request of a key of weight w comes at n / w, and of
one key's requests that of the lowest priority number comes first.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.engine.request import ModelRequest
    from inference.models import PendingOfKey

#: The most keys that a report names; the rest share one entry.
_REPORTED_KEYS = 50


@dataclass(slots=True, eq=False)
class AcceptedRequest:
    """A request that the worker has; it is pending until it is started.

    ``ready_at`` is when the engine got it, prepared; None before.
    ``holds_sampler``: the backend keeps for it what its sampler needs, or its images
    are encoded.
    """

    request_id: str
    reply_to: str
    key: str
    weight: float
    priority: int
    number: int
    since: float
    ready_at: float | None = None
    idle_only: bool = False
    is_started: bool = False
    holds_sampler: bool = False


class AcceptedRequests:
    """The requests that a worker has accepted and not ended."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._by_id: dict[str, AcceptedRequest] = {}
        #: The pending requests by key, each key's in order of arrival.
        self._pending: dict[str, dict[str, AcceptedRequest]] = {}
        self.num_pending = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[AcceptedRequest]:
        return iter(list(self._by_id.values()))

    def get(self, request_id: str) -> AcceptedRequest | None:
        """Return an accepted request."""
        return self._by_id.get(request_id)

    def add(self, request: ModelRequest, reply_to: str) -> AcceptedRequest:
        """Accept a request; it is pending. Its id must be new."""
        accepted = AcceptedRequest(
            request_id=request.request_id,
            reply_to=reply_to,
            key=request.key,
            weight=request.weight,
            priority=request.priority,
            number=next(self._numbers),
            since=self._clock(),
            idle_only=request.idle_only,
        )
        self._by_id[accepted.request_id] = accepted
        self._pending.setdefault(accepted.key, {})[accepted.request_id] = accepted
        self.num_pending += 1
        return accepted

    def start(self, request: AcceptedRequest) -> None:
        """Mark a request as started: it has a slot and is no longer pending."""
        if not request.is_started:
            request.is_started = True
            self._end_pending(request)

    def prepared(self, request: AcceptedRequest) -> None:
        """Mark a request as prepared: from now on it waits for its start."""
        request.ready_at = self._clock()

    def remove(self, request_id: str) -> AcceptedRequest | None:
        """Remove a request; return it, or None if no request has this id."""
        request = self._by_id.pop(request_id, None)
        if request is not None and not request.is_started:
            self._end_pending(request)
        return request

    def num_ahead(self, key: str) -> int:
        """Return how many pending requests of a key hold a sampler or images."""
        return sum(each.holds_sampler for each in self._pending.get(key, {}).values())

    def position(self, request: AcceptedRequest) -> int:
        """Return how many pending requests are ahead of a new one."""
        own = self._pending[request.key].values()
        ahead = sum(_place(other) < _place(request) for other in own)
        tag = (ahead + 1) / request.weight
        return ahead + sum(
            min(len(pending), int(tag * _newest(pending).weight))
            for key, pending in self._pending.items()
            if key != request.key
        )

    def last(self) -> AcceptedRequest:
        """Return the pending request to refuse when too many are pending.

        It belongs to the key with the most requests for its weight, so that a key with
        many requests takes no other key's place; between equal keys it is the newest.
        """
        ends = [
            (len(pending) / _newest(pending).weight, max(pending.values(), key=_place))
            for pending in self._pending.values()
        ]
        _, last = max(ends, key=lambda end: (end[0], end[1].number))
        return last

    def first(self, count: int) -> list[AcceptedRequest]:
        """Return the next pending requests, up to ``count``."""
        tagged = []
        for pending in self._pending.values():
            tag = 0.0
            for request in sorted(pending.values(), key=_place):
                tag += 1 / request.weight
                tagged.append((tag, request.number, request))
        return [request for _, _, request in heapq.nsmallest(count, tagged)]

    def oldest_wait_s(self) -> float:
        """Return for how many seconds the oldest request has waited for its start.

        Its preparation does not count, and those do not that wait until nobody else
        is there. 0 without any.
        """
        since = [
            request.ready_at
            for pending in self._pending.values()
            for request in pending.values()
            if request.ready_at is not None and not request.idle_only
        ]
        return max(0.0, self._clock() - min(since)) if since else 0.0

    def pending_by_key(self) -> list[PendingOfKey]:
        """Return the number of pending requests of each key, the largest first."""
        found: dict[str, PendingOfKey] = {}
        for position, request in enumerate(self.first(self.num_pending), 1):
            new: PendingOfKey = {
                "key": request.key,
                "count": 0,
                "position": position,
                "since": request.since,
            }
            entry = found.setdefault(request.key, new)
            entry["count"] += 1
            entry["since"] = min(entry["since"], request.since)
        ranked = sorted(found.values(), key=lambda entry: -entry["count"])
        named, others = ranked[:_REPORTED_KEYS], ranked[_REPORTED_KEYS:]
        return [*named, _together(others)] if others else named

    def _end_pending(self, request: AcceptedRequest) -> None:
        pending = self._pending[request.key]
        del pending[request.request_id]
        if not pending:
            del self._pending[request.key]
        self.num_pending -= 1


def _place(request: AcceptedRequest) -> tuple[int, int]:
    """Return the position among one key's requests."""
    return request.priority, request.number


def _newest(pending: dict[str, AcceptedRequest]) -> AcceptedRequest:
    return pending[next(reversed(pending))]


def _together(entries: list[PendingOfKey]) -> PendingOfKey:
    """Return the entries of many keys as one entry."""
    return {
        "key": None,
        "count": sum(entry["count"] for entry in entries),
        "position": min(entry["position"] for entry in entries),
        "since": min(entry["since"] for entry in entries),
    }
