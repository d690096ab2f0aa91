"""Where requests tell what became of them: the front of the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from accounts.usage.ingester import Ingester
from accounts.usage.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    #: What a request has counted so far, by the names of columns.
    Counts = Callable[[], Mapping[str, Any]]

#: How old the counts of a request are at most if its web process is killed.
_PROGRESS_EVERY_S = 1.0


class UsageRecorder:
    """Writes requests to the journal, on the event loop. Without a journal it is off.

    Every write is done when its call returns: what is accepted or answered after it
    has its line.
    """

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._ingester: Ingester | None = None
        self._running: dict[str, Counts] = {}
        self._noted: dict[str, Mapping[str, Any]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self, folder: Path) -> None:
        """Begin a journal in this folder, and store it in the background."""
        self._journal = Journal(folder)
        self._ingester = Ingester(self._journal, folder)
        self._ingester.start()

    def close(self) -> None:
        """Store what is there, and end."""
        if self._ingester is not None:
            self._ingester.stop()
        self._journal = self._ingester = None

    def begin(self, id_: str, fields: Mapping[str, Any], counts: Counts) -> None:
        """Note that a request is accepted; ``counts`` tells what it has counted."""
        if self._journal is None:
            return
        self._journal.begin(id_, fields)
        self._running[id_] = counts
        if self._timer is None:
            self._wait()

    def end(self, id_: str, fields: Mapping[str, Any]) -> None:
        """Note that a request is over, accepted or not."""
        if self._journal is None:
            return
        if self._running.pop(id_, None) is None:
            self._journal.whole(id_, fields)
        else:
            self._noted.pop(id_, None)
            self._journal.end(id_, fields)
        self._look_soon()

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PROGRESS_EVERY_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.note_progress()
        if self._running:
            self._wait()

    def note_progress(self) -> None:
        """Write a line with the counts that have changed since the last one."""
        if self._journal is None:
            return
        now = {id_: counts() for id_, counts in self._running.items()}
        changed = {
            id_: counts for id_, counts in now.items() if counts != self._noted.get(id_)
        }
        if changed:
            self._noted.update(changed)
            self._journal.progress(changed)
        self._journal.flush()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._ingester is not None:
            self._ingester.look_soon()


#: That of this process.
usage_recorder = UsageRecorder()
