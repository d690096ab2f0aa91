"""How much of the machine other programs use, which makes every answer later.

A process counts with the children that it has reaped: one that was killed counts too.
"""

from __future__ import annotations

import time
from contextlib import suppress

import psutil


class OtherPrograms:
    """What others than this process and its descendants use from now on."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._before = _others_s()

    @property
    def cores(self) -> float:
        """The processors that they used since then, on average."""
        spent = time.monotonic() - self._started_at
        return max(_others_s() - self._before, 0.0) / spent


def _others_s() -> float:
    """Return the processor seconds of other programs since the machine started."""
    machine = psutil.cpu_times()
    own = psutil.Process()
    used = machine.user + machine.system + getattr(machine, "nice", 0.0)
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            used -= times.user + times.system
            used -= times.children_user + times.children_system
    return used
