"""Which labels other nodes had lately: one that restarts is gone for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class RecentNodes:
    """The labels of the other nodes that this process has seen, and when it did."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, frozenset[str]]] = {}

    def see(self, nodes: Mapping[str, Collection[str]]) -> None:
        """Note the labels of the nodes that are there now, by their names."""
        now = self._clock()
        for name, labels in nodes.items():
            self._seen[name] = (now, frozenset(labels))

    def lately(self, labels: frozenset[str], *, within_s: float) -> str:
        """Return the node that had these labels last, not longer ago; "" without."""
        since = self._clock() - within_s
        found = [
            (at, name)
            for name, (at, had) in self._seen.items()
            if at >= since and labels <= had
        ]
        return max(found, default=(0.0, ""))[1]

    def forget(self, names: Collection[str]) -> None:
        """Wait for these no longer."""
        for name in names:
            self._seen.pop(name, None)
