"""How much of the machine other programs use, which makes every answer later.

One of ours that ends meanwhile counts as another's: nobody knows any more what it used.
"""

from __future__ import annotations

import time
from contextlib import suppress

import psutil


class OtherPrograms:
    """What others than this process and its descendants use from now on."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._machine_s = _machine_s()
        self._own_s = _own_s()

    @property
    def cores(self) -> float:
        """The processors that they used since then, on average."""
        own_s = sum(
            used - self._own_s.get(process, 0.0) for process, used in _own_s().items()
        )
        others_s = _machine_s() - self._machine_s - own_s
        return max(others_s, 0.0) / (time.monotonic() - self._started_at)


def _machine_s() -> float:
    """Return the processor seconds of all programs since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _own_s() -> dict[int, float]:
    """Return the processor seconds of this process and its descendants, by pid."""
    used = {}
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used
