"""The requests that a worker has taken: whom they are for, and who waits for whom.

The engine decides what starts when. This is the worker's own account of it, on
the I/O side: enough to tell a request its place in line, to find whom to refuse
when too many wait, and whom to hand to a worker that has room.

The line is start-time fair queueing [Goyal, Vin, Cheng 1996] with every request
of cost 1 and all keys level: the n-th request of a key that weighs w comes at
n / w, and of one key's requests that of the lowest priority number comes first.
"""

from __future__ import annotations

import heapq
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inference.transport.messages import Embed, Generate

#: Keys that a worker's report names; the rest share one entry.
_REPORTED_KEYS = 50


class KeyBacklog(TypedDict):
    """What waits of one key, or of all other keys where ``key`` is None.

    ``position`` is the place in line, from 1, of its next request; ``since`` when
    its oldest came, in seconds since the epoch.
    """

    key: str | None
    count: int
    position: int
    since: float


@dataclass(slots=True, eq=False)
class Held:
    """One request that the engine has."""

    request_id: str
    reply_to: str
    key: str
    weight: float
    priority: int
    number: int
    since: float
    is_started: bool = False


class Backlog:
    """The requests that a worker has taken and not ended."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._held: dict[str, Held] = {}
        #: Those that wait, by key, each in order of arrival.
        self._lines: dict[str, dict[str, Held]] = {}
        self.num_waiting = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def get(self, request_id: str) -> Held | None:
        """Return a request that is held."""
        return self._held.get(request_id)

    def add(self, request: Generate | Embed) -> Held:
        """Hold a request; it waits. Its id must be new."""
        held = Held(
            request_id=request.request_id,
            reply_to=request.reply_to,
            key=request.key,
            weight=request.weight,
            priority=request.priority,
            number=next(self._numbers),
            since=self._clock(),
        )
        self._held[held.request_id] = held
        self._lines.setdefault(held.key, {})[held.request_id] = held
        self.num_waiting += 1
        return held

    def start(self, held: Held) -> None:
        """Take a request out of the line: it has got a slot."""
        if not held.is_started:
            held.is_started = True
            self._leave_line(held)

    def remove(self, request_id: str) -> Held | None:
        """Forget a request; return it, or None if it is not held."""
        held = self._held.pop(request_id, None)
        if held is not None and not held.is_started:
            self._leave_line(held)
        return held

    def position(self, held: Held) -> int:
        """Return how many waiting requests come before one that has just come."""
        line = self._lines[held.key].values()
        ahead = sum(_place(other) < _place(held) for other in line)
        tag = (ahead + 1) / held.weight
        return ahead + sum(
            min(len(line), int(tag * _newest(line).weight))
            for key, line in self._lines.items()
            if key != held.key
        )

    def last(self) -> Held:
        """Return the end of the line: who goes when too many wait.

        It is of the key with the largest backlog for its weight, so one key's flood
        costs no other key its place; of keys that are alike it is the newest.
        """
        ends = [
            (len(line) / _newest(line).weight, max(line.values(), key=_place))
            for line in self._lines.values()
        ]
        _, last = max(ends, key=lambda end: (end[0], end[1].number))
        return last

    def first(self, count: int) -> list[Held]:
        """Return the front of the line, up to ``count`` requests."""
        tagged = []
        for line in self._lines.values():
            tag = 0.0
            for held in sorted(line.values(), key=_place):
                tag += 1 / held.weight
                tagged.append((tag, held.number, held))
        return [held for _, _, held in heapq.nsmallest(count, tagged)]

    def by_key(self) -> list[KeyBacklog]:
        """Return what waits of each key, the longest backlog first."""
        found: dict[str, KeyBacklog] = {}
        for position, held in enumerate(self.first(self.num_waiting), 1):
            new = KeyBacklog(key=held.key, count=0, position=position, since=held.since)
            entry = found.setdefault(held.key, new)
            entry["count"] += 1
            entry["since"] = min(entry["since"], held.since)
        ranked = sorted(found.values(), key=lambda entry: -entry["count"])
        named, others = ranked[:_REPORTED_KEYS], ranked[_REPORTED_KEYS:]
        return [*named, _together(others)] if others else named

    def _leave_line(self, held: Held) -> None:
        line = self._lines[held.key]
        del line[held.request_id]
        if not line:
            del self._lines[held.key]
        self.num_waiting -= 1


def _place(held: Held) -> tuple[int, int]:
    """Return the place among one key's requests."""
    return held.priority, held.number


def _newest(line: dict[str, Held]) -> Held:
    return line[next(reversed(line))]


def _together(entries: list[KeyBacklog]) -> KeyBacklog:
    """Return many keys' backlogs as one."""
    return KeyBacklog(
        key=None,
        count=sum(entry["count"] for entry in entries),
        position=min(entry["position"] for entry in entries),
        since=min(entry["since"] for entry in entries),
    )
