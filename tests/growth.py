"""Work whose time grows in proportion to its input.

No limit in seconds holds on every machine.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Four times the length takes four times as long; were the time to grow with the square
# of the length, it would take sixteen times.
LESS = 4
_GROWTH = 8.0
# A shorter time is measured too coarsely for a ratio.
_NOISE_S = 0.2


def is_in_proportion(work: Callable[[int], object], size: int) -> bool:
    """Compare the processor time of work of a size with that of a quarter of it."""
    if (whole := _seconds(work, size)) < _NOISE_S:
        return True
    return whole < _GROWTH * _seconds(work, size // LESS)


def _seconds(work: Callable[[int], object], size: int) -> float:
    # A collection takes as long as the whole process has objects.
    gc.disable()
    try:
        start = time.process_time()
        work(size)
        return time.process_time() - start
    finally:
        gc.enable()
