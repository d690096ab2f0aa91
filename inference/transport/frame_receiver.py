"""The web side of numbered frames: in order, none twice, gaps noticed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.transport.messages import Frame

#: A gap that stays open longer is given up: the worker has not those frames.
_GAP_S = 5.0


@dataclass(slots=True)
class _Line:
    """How far the frames of one worker have been taken."""

    heard_at: float
    taken: int = 0
    highest: int = 0
    gap_since: float | None = None
    held: dict[int, Frame] = field(default_factory=dict)
    is_broken: bool = False


class Inbox:
    """Puts the frames of every worker in order.

    Workers number their frames to this process from 1. A frame that comes too
    early is held until the missing ones have been sent again.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    def put(self, frame: Frame) -> list[Frame]:
        """Take a frame; return those that are next in line, in order."""
        now = self._clock()
        line = self._lines.setdefault(frame.incarnation, _Line(heard_at=now))
        line.heard_at = now
        line.highest = max(line.highest, frame.seq)
        if not frame.events:
            # The worker has begun to count anew: it had taken us for dead.
            line.is_broken |= frame.seq < line.taken
            return []
        if frame.seq > line.taken:
            line.held[frame.seq] = frame
        ready = []
        while line.taken + 1 in line.held:
            line.taken += 1
            ready.append(line.held.pop(line.taken))
        return ready

    def missing(self, frame: Frame) -> int | None:
        """Return the first number to ask for again, after this frame was put.

        A gap is asked for when it opens, and with every heartbeat while it is
        open: the answer may be lost, too.
        """
        line = self._lines.get(frame.incarnation)
        if line is None:
            return None
        if not line.held and frame.seq <= line.taken:
            line.gap_since = None
            return None
        if line.gap_since is None:
            line.gap_since = self._clock()
        elif frame.events:
            return None
        return line.taken + 1

    def is_broken(self, incarnation: str) -> bool:
        """Whether events of this worker are lost for good."""
        line = self._lines.get(incarnation)
        if line is None:
            return False
        waited = 0.0 if line.gap_since is None else self._clock() - line.gap_since
        return line.is_broken or waited > _GAP_S

    def silent_for(self, incarnation: str) -> float:
        """Return the seconds since this worker was heard of."""
        line = self._lines.get(incarnation)
        return math.inf if line is None else self._clock() - line.heard_at

    def resync(self, incarnation: str) -> None:
        """Give up what is missing of a living worker, and take what comes next."""
        line = self._lines.get(incarnation)
        if line is not None:
            line.taken = line.highest
            line.held.clear()
            line.gap_since = None
            line.is_broken = False

    def forget(self, incarnation: str) -> None:
        """Drop what is known of a worker that is gone."""
        self._lines.pop(incarnation, None)
