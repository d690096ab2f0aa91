"""How many threads compute best here: one per physical core that may be used."""

from __future__ import annotations

import os
from pathlib import Path

#: Turns that a computing thread spins at a barrier before it sleeps, for libgomp.
#: Its own default of some 300,000 lets a thread burn its core for milliseconds
#: while the one it waits for cannot run, because the web process has that core;
#: a hundred makes every barrier a system call. `make bench` shows the difference.
SPIN_ENVIRONMENT = {"GOMP_SPINCOUNT": "10000"}

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def physical_cores(topology: str = _TOPOLOGY) -> int:
    """Return the number of physical cores that this process may run on.

    Two hardware threads of a core share its arithmetic units, so a second
    computing thread there only gets in the way. Where the topology cannot be
    read, every usable processor counts.
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
