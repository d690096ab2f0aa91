"""When to do what has time: all of a machine's processes do it together.

A processor that wakes up takes longer for the first millisecond: its caches are cold.
So what is done every few seconds is done at whole multiples of them, by the clock that
all processes of a machine share, as the kernel's own timers are (``round_jiffies``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Sooner than after this part of the interval would be twice for the same time.
_TOO_SOON = 0.05


def until_next(every_s: float, *, clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds until the clock shows the next multiple of ``every_s``.

    They are some more than ``every_s`` at most.
    """
    if every_s <= 0:
        return 0.0
    left_s = every_s - clock() % every_s
    return left_s + every_s if left_s < _TOO_SOON * every_s else left_s
