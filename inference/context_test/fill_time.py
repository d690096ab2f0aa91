"""How long a context takes to fill, from the speeds of a smaller one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class SpeedAtDepth:
    """Tokens a second with ``depth`` tokens in the context, in prefill and decode."""

    depth: int
    prefill: float
    decode: float

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SpeedAtDepth:
        """Return the speed that ``dataclasses.asdict`` wrote."""
        return cls(**data)


def fill_seconds(speeds: Iterable[SpeedAtDepth], n_ctx: int) -> float | None:
    """Return the seconds that a prompt of ``n_ctx`` tokens takes to compute.

    The seconds of a token grow linearly with what is before it, as attention does; a
    line through the measured ones (least squares) is summed up. None without speeds.
    """
    points = [(each.depth, 1 / each.prefill) for each in speeds if each.prefill > 0]
    if not points:
        return None
    depths, seconds = zip(*points, strict=True)
    mean_depth = sum(depths) / len(points)
    mean_seconds = sum(seconds) / len(points)
    spread = sum((depth - mean_depth) ** 2 for depth in depths)
    together = sum((d - mean_depth) * (s - mean_seconds) for d, s in points)
    # Noise may make deeper tokens look faster; they never are.
    slope = max(together / spread, 0.0) if spread else 0.0
    at_start = max(mean_seconds - slope * mean_depth, 0.0)
    return float(n_ctx * at_start + slope * n_ctx**2 / 2)


def affordable_context(
    speeds: Iterable[SpeedAtDepth], n_ctx: int, seconds: float
) -> int:
    """Return the largest context, at most ``n_ctx``, that is filled in the seconds.

    Without speeds it is ``n_ctx``.
    """
    known = list(speeds)
    if (fill_seconds(known, n_ctx) or 0.0) <= seconds:
        return n_ctx
    low, high = 0, n_ctx
    while high - low > 1:
        middle = (low + high) // 2
        if (fill_seconds(known, middle) or 0.0) <= seconds:
            low = middle
        else:
            high = middle
    return low
