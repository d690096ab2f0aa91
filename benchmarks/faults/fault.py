"""The faults: what happens to which processes, for how long."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.faults.small_disk import full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.systems.usage import ProcessTree

#: The processes of a server besides the launcher.
PARTS = ("web", "engine", "worker", "redis")


@dataclass(frozen=True, slots=True)
class Place:
    """A server: its processes, and the folder of its data."""

    processes: ProcessTree
    home: Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``inflict`` begins it, and ends it at the end of its block.

    One that ``fills`` needs a disk that may be filled.
    """

    what: str
    how: str
    seconds: float
    inflict: Callable[[Place], AbstractContextManager[None]]
    fills: bool = False

    @property
    def name(self) -> str:
        """The fault in a few words."""
        duration = f" for {self.seconds:g} s" if self.seconds else ""
        return f"{self.what} {self.how}{duration}"


@contextmanager
def frozen(place: Place, *, roles: tuple[str, ...]) -> Iterator[None]:
    """Stop the processes of these roles, as a debugger or a suspended machine does.

    Of one role alone the process that serves is stopped, of several also the spares.
    """
    stopped = _pids(place.processes, roles, is_alone=len(roles) == 1)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def killed(place: Place, *, roles: tuple[str, ...]) -> Iterator[None]:
    """Kill the processes of these roles; of one role alone the one that serves."""
    for pid in _pids(place.processes, roles, is_alone=len(roles) == 1):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Hold SQLite's exclusive lock: nobody writes."""
    database = place.home / "db.sqlite3"
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as held:
        held.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            held.execute("ROLLBACK")


def _pids(
    processes: ProcessTree, roles: tuple[str, ...], *, is_alone: bool
) -> list[int]:
    by_role = processes.pids()
    if is_alone:
        # A spare process was started after the one whose place it takes.
        return by_role.get(roles[0], [])[:1]
    return [pid for role in roles for pid in by_role.get(role, ())]


def one_machine(seconds: tuple[float, ...]) -> list[Fault]:
    """Return the faults of a server on one machine, with pauses of these seconds."""
    targets = {
        **{part: (part,) for part in (*PARTS, "launcher")},
        "all of them": PARTS,
        "the whole machine": (*PARTS, "launcher"),
    }
    return [
        *(
            Fault(what, "frozen", pause, partial(frozen, roles=roles))
            for pause in seconds
            for what, roles in targets.items()
        ),
        *(Fault(part, "killed", 0, partial(killed, roles=(part,))) for part in PARTS),
        Fault("database", "locked", 20, locked),
        Fault("disk", "full", 20, lambda place: full(place.home), fills=True),
    ]
