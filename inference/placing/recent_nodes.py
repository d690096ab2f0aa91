"""What other nodes had lately, labels or files: one that restarts is soon back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class RecentNodes:
    """What the other nodes had that this process has seen, and when it did."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, frozenset[str]]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def see(self, nodes: Mapping[str, Collection[str]], *, keep_s: float) -> None:
        """Note what the nodes have that are there now, by their names.

        Those that were there longer ago than ``keep_s`` are forgotten.
        """
        now = self._clock()
        for name, things in nodes.items():
            self._seen[name] = (now, frozenset(things))
        self._seen = {
            name: (at, had)
            for name, (at, had) in self._seen.items()
            if at >= now - keep_s
        }

    def lately(
        self,
        wanted: frozenset[str],
        *,
        within_s: float,
        besides: Collection[str] = (),
    ) -> str:
        """Return the node that had all that is wanted last, not longer ago; "" without.

        Those of ``besides`` do not count.
        """
        since = self._clock() - within_s
        found = [
            (at, name)
            for name, (at, had) in self._seen.items()
            if at >= since and wanted <= had and name not in besides
        ]
        return max(found, default=(0.0, ""))[1]

    def forget(self, names: Collection[str]) -> None:
        """Wait for these no longer."""
        for name in names:
            self._seen.pop(name, None)
