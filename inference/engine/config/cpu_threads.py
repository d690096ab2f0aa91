"""How threads compute best here: one on each physical core that may be used."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Turns that a computing thread spins at a barrier before it sleeps, for libgomp.
#: Its own default of some 300,000 lets a thread burn its core for milliseconds
#: while the one it waits for cannot run, because another process has that core;
#: a hundred makes every barrier a system call.
_SPIN = {"GOMP_SPINCOUNT": "10000"}
#: A thread that was preempted is else moved to where another waits for it, and the two
#: then take turns on one core: with one more busy process on two cores a stream got
#: 15 tokens/s instead of 85.
_BINDING = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def thread_environment(n_threads: int) -> dict[str, str]:
    """Return the environment of a process with this many threads; 0 is all.

    Threads are bound to cores if there is one for each: several processes with fewer
    threads would all be bound to the first cores.
    """
    return _SPIN | (_BINDING if n_threads in (0, physical_cores()) else {})


@contextmanager
def unbound() -> Iterator[None]:
    """Let this thread go where it could before.

    The OpenMP library binds the thread that loads it, not only those that compute.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    usable = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@cache
def physical_cores(topology: str = _TOPOLOGY) -> int:
    """Return the number of physical cores that this process may run on.

    Two hardware threads of a core share its arithmetic units, so a second
    computing thread there only gets in the way. Where the topology cannot be
    read, every usable processor counts. The first answer stays: a thread that
    has computed may be bound to one core.
    """
    try:
        usable = os.sched_getaffinity(0)
    except AttributeError:
        return os.cpu_count() or 1
    cores = set()
    for number in usable:
        try:
            cores.add(Path(topology.format(number)).read_text(encoding="ascii"))
        except OSError:
            return len(usable)
    return len(cores)
