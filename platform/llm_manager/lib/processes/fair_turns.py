"""Whose turn it is, of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

#: How long a client counts as asking after it has last asked, as in the engine's
#: shares.
ASKING_S = 2.0


class FairTurns(Generic[_T]):
    """What waits, by client. Clients take turns; each has ``most`` at once.

    Threads need a lock around it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: The waiting by client; the first client's turn is next.
        self._waiting: dict[str, deque[_T]] = {}
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, client: str, item: _T) -> None:
        """Let an item wait for its turn."""
        self._waiting.setdefault(client, deque()).append(item)

    def remove(self, client: str, item: _T) -> None:
        """Let an item wait no longer."""
        waiting = self._waiting[client]
        waiting.remove(item)
        if not waiting:
            del self._waiting[client]

    def clients(self) -> Iterator[str]:
        """Yield the clients that wait and may have more; the first one is next."""
        return (each for each in self._waiting if self._held[each] < self._most)

    def take(self, client: str) -> _T:
        """Return the client's first item; it is held until it is given back."""
        waiting = self._waiting.pop(client)
        item = waiting.popleft()
        if waiting:
            # The client's next turn comes after everybody else's.
            self._waiting[client] = waiting
        self._held[client] += 1
        return item

    def give_back(self, client: str) -> None:
        """Hold one item of the client no longer."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]


class Asking:
    """Which clients have asked for something lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When each client asked last, the latest at the end.
        self._asked: dict[str, float] = {}

    def note(self, client: str) -> None:
        """Note that a client asks."""
        now = self._clock()
        self._asked.pop(client, None)
        self._asked[client] = now
        while self._asked[first := next(iter(self._asked))] < now - ASKING_S:
            del self._asked[first]

    def others_ask(self, client: str) -> bool:
        """Return whether any other client asks."""
        since = self._clock() - ASKING_S
        return any(at >= since for other, at in self._asked.items() if other != client)
