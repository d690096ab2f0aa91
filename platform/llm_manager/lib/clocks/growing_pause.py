"""How long to wait before the next look for something that is seldom there."""

from __future__ import annotations

#: From one look that found nothing to the next.
_GROWTH = 1.5


class GrowingPause:
    """Pauses of ``first_s``, longer from look to look, up to ``most_s``.

    What has come meanwhile is found after at most half as long again as nothing came
    before.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self.seconds = first_s

    def after(self, *, found: bool) -> None:
        """Note a look: after one that has found something the pause is short again."""
        grown_s = min(_GROWTH * self.seconds, self._most_s)
        self.seconds = self._first_s if found else grown_s
