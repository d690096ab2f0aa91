"""Counts the used KV cells, and which slots share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True, eq=False)
class _Run:
    """The cells of neighbouring positions, and the number of slots that use them."""

    length: int
    users: int = 1


class Cells:
    """Counts the cells of every slot.

    In a unified cache a copied prefix costs no cells: both slots use the same ones. In
    a split cache each slot has its own.
    """

    def __init__(self, *, total: int, are_shared: bool) -> None:
        self.total = total
        self.used = 0
        self._are_shared = are_shared
        self._runs: dict[int, list[_Run]] = {}

    @property
    def free(self) -> int:
        """The number of cells that hold no token."""
        return self.total - self.used

    def length(self, slot: int) -> int:
        """Return how many positions of a slot have a cell."""
        return sum(run.length for run in self._runs.get(slot, ()))

    def used_by(self, slots: Iterable[int]) -> int:
        """Return how many cells these slots use; shared ones count once."""
        runs = {run for slot in slots for run in self._runs.get(slot, ())}
        return sum(run.length for run in runs)

    def gained_by_clearing(self, slot: int) -> int:
        """Return how many cells become free when only this slot is emptied."""
        return sum(run.length for run in self._runs.get(slot, ()) if run.users == 1)

    def append(self, slot: int, count: int) -> None:
        """Give a slot ``count`` more cells of its own."""
        runs = self._runs.setdefault(slot, [])
        if runs and runs[-1].users == 1:
            runs[-1].length += count
        else:
            runs.append(_Run(count))
        self.used += count

    def share(self, source: int, target: int, length: int) -> None:
        """Give ``target``, which is empty, the first cells of ``source``."""
        self._check_empty(target)
        if not self._are_shared:
            self.append(target, length)
            return
        shared = self._runs[source][: self._cut(source, length)]
        for run in shared:
            run.users += 1
        self._runs[target] = shared

    def keep(self, slot: int, length: int) -> None:
        """Free a slot's cells from position ``length`` on."""
        runs = self._runs.get(slot, [])
        border = self._cut(slot, length)
        for run in runs[border:]:
            run.users -= 1
            if not run.users:
                self.used -= run.length
        del runs[border:]

    def clear(self, slot: int) -> None:
        """Free all cells of a slot. Idempotent."""
        self.keep(slot, 0)
        self._runs.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """Give all cells of ``source`` to ``target``, which is empty."""
        self._check_empty(target)
        self._runs[target] = self._runs.pop(source, [])

    def check_integrity(self) -> None:
        """Raise AssertionError unless every used cell has its users."""
        users: dict[_Run, int] = {}
        for runs in self._runs.values():
            for run in runs:
                users[run] = users.get(run, 0) + 1
        if any(run.users != count for run, count in users.items()):
            raise AssertionError("a cell's users are counted wrong")
        if sum(run.length for run in users) != self.used or self.used > self.total:
            raise AssertionError(
                f"{self.used} of {self.total} cells are counted as used"
            )

    def _check_empty(self, slot: int) -> None:
        if self._runs.get(slot):
            raise ValueError(f"slot {slot} is not empty")

    def _cut(self, slot: int, at: int) -> int:
        """Split the runs at ``at``, for all users; return the runs before it."""
        start = 0
        for index, run in enumerate(self._runs.get(slot, ())):
            if start == at:
                return index
            if at < start + run.length:
                rest = _Run(start + run.length - at, run.users)
                run.length = at - start
                for runs in self._runs.values():
                    if run in runs:
                        runs.insert(runs.index(run) + 1, rest)
                return index + 1
            start += run.length
        return len(self._runs.get(slot, ()))
