"""Which context to measure next, so that few measurements find the largest. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

#: Contexts that are measured are multiples of this, except the bounds: llama.cpp
#: rounds the cells of a sequence up to it.
STEP = 256
#: The search ends when what is left to know is this part of the result. A choice: each
#: further halving costs a whole measurement.
PRECISION = 32
#: Whether answers are sane has no sharp border, so it is searched less closely.
SANE_PRECISION = 8
#: After the largest that the estimate allows has failed, this share of it is tried: the
#: estimate is rarely off by more (``inference/capacity/memory_estimate.py``).
_NEAR = 7 / 8


def next_context(
    passed: Collection[int],
    failed: Collection[int],
    *,
    least: int,
    most: int,
    precision: int = PRECISION,
) -> int | None:
    """Return the context to measure next, in tokens; None if the search has ended.

    ``least`` is first, because it is quick and says how fast the model is, then
    ``most``, the largest that the memory estimate allows, then what is between the
    largest that passed and the smallest that failed. What passed below and failed above
    does not matter: a larger context takes more of everything.
    """
    if least > most:
        return None
    low = max((n for n in passed if n <= most), default=None)
    above = [n for n in failed if low is None or n > low]
    if low is None:
        return None if any(n <= least for n in above) else least
    high = min(above, default=None)
    if high is None:
        return most if low < most else None
    if high - low <= _resolution(high, precision):
        return None
    is_first_failure = len(above) == 1 and high * _NEAR > low
    wanted = high * _NEAR if is_first_failure else (low + high) / 2
    return _between(int(wanted), low, high)


def _between(wanted: int, low: int, high: int) -> int | None:
    """Return the multiple of STEP nearest below ``wanted``, inside of the bounds."""
    rounded = wanted // STEP * STEP
    if rounded <= low:
        rounded = (low // STEP + 1) * STEP
    return rounded if rounded < high else None


def _resolution(n_ctx: int, precision: int) -> int:
    return max(STEP, n_ctx // precision)
