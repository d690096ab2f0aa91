"""A cache of values that are slow to make."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_K = TypeVar("_K", bound="Hashable")
_V = TypeVar("_V")
_R = TypeVar("_R")


class MakeOnceCache(Generic[_K, _V]):
    """Values by key, each made by one thread at a time. Thread-safe.

    Whoever needs a value waits for its maker, and for no other's. Besides values that
    are held, at most ``kept`` stay; ``free`` gets the others.
    """

    def __init__(
        self, kept: int, *, free: Callable[[_V], object] = lambda _: None
    ) -> None:
        self._kept = kept
        self._free = free
        self._lock = threading.Lock()
        self._values: OrderedDict[_K, _V] = OrderedDict()
        self._making: dict[_K, threading.Event] = {}
        self._holds: Counter[_K] = Counter()

    def use(self, key: _K, make: Callable[[], _V], use: Callable[[_V], _R]) -> _R:
        """Return ``use(value)``, which must be quick: nothing is freed meanwhile.

        ``make`` makes the value if it is missing; what it raises is raised here.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return use(self._values[key])
                making = self._making.get(key)
                if making is None:
                    made = self._making[key] = threading.Event()
            if making is not None:
                making.wait()
                continue
            try:
                value = make()
                with self._lock:
                    self._values[key] = value
                    result = use(value)
                    self._evict()
                return result
            finally:
                with self._lock:
                    del self._making[key]
                made.set()

    def hold(self, key: _K) -> None:
        """Keep the value of this key, made or not, until as many releases."""
        with self._lock:
            self._holds[key] += 1

    def release(self, key: _K) -> None:
        """End one hold."""
        with self._lock:
            self._holds[key] -= 1
            if self._holds[key] <= 0:
                del self._holds[key]
            self._evict()

    def drop(self, key: _K) -> None:
        """Free a value, held or not. Idempotent."""
        with self._lock:
            if key in self._values:
                self._free(self._values.pop(key))

    def clear(self) -> None:
        """Free all values. Idempotent."""
        with self._lock:
            while self._values:
                self._free(self._values.popitem()[1])

    def _evict(self) -> None:
        """Free the values that were used least recently and that nobody holds."""
        free = [key for key in self._values if key not in self._holds]
        for key in free[: max(len(free) - self._kept, 0)]:
            self._free(self._values.pop(key))
