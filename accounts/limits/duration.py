"""Durations as OpenAI's rate limit headers have them: `1s`, `6m0s`, `120ms`."""

from __future__ import annotations

import math


def duration_text(seconds: float) -> str:
    """Return a duration, rounded up to milliseconds, and to seconds above one."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
