"""How fast a download is. Pure."""

from __future__ import annotations

from collections import deque

#: Speeds are of so many seconds: long enough to be calm, short enough to be true.
_WINDOW_S = 10.0


class SpeedWindow:
    """The speed of the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, size: int) -> float:
        """Note how many bytes are here; return bytes a second.

        Bytes that were here before count for nothing.
        """
        if self._points and size < self._points[-1][1]:
            # It began again.
            self._points.clear()
        self._points.append((now, size))
        while now - self._points[0][0] > _WINDOW_S and len(self._points) > 2:
            self._points.popleft()
        (start, had), (end, has) = self._points[0], self._points[-1]
        return (has - had) / (end - start) if end > start else 0.0
