"""Formats sizes, counts and times for people. Knows no Django."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB")


def human_bytes(size: float | None) -> str:
    """Return a size with at most three digits: ``4.6 GiB``."""
    if size is None:
        return "-"
    value = float(size)
    for unit in _STEPS:
        if abs(value) < 1000 or unit == _STEPS[-1]:
            digits = 1 if unit != "B" and abs(value) < 100 else 0
            return f"{value:.{digits}f} {unit}"
        value /= 1024
    raise AssertionError("the last step always returns")


def human_count(number: float | None) -> str:
    """Return a number with separators, shortened from a million: ``8.03 B``."""
    if number is None:
        return "-"
    for bound, sign in ((1e9, "B"), (1e6, "M")):
        if abs(number) >= bound:
            return f"{number / bound:.3g} {sign}"
    return f"{number:,.0f}"


def human_age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a time was, in its largest unit: ``5 min ago``."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    if seconds < 2:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def human_span(seconds: float | None) -> str:
    """Return how long something takes: ``340 ms``, ``4.2 s``, ``3 min 5 s``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
