"""Puts the frames from workers in order, drops duplicates and detects gaps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.transport.messages.events import Frame

#: A gap that stays open longer is given up: the worker no longer keeps those frames.
_GAP_S = 5.0


@dataclass(slots=True)
class _WorkerFrames:
    """The state of the frames from one worker."""

    heard_at: float
    taken: int = 0
    highest: int = 0
    gap_since: float | None = None
    early: dict[int, Frame] = field(default_factory=dict)
    is_broken: bool = False


class FrameReceiver:
    """Puts the frames of every worker in order.

    Workers number their frames to this process from 1. A frame after a gap is kept
    until the missing ones have been sent again.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._workers: dict[str, _WorkerFrames] = {}

    def put(self, frame: Frame) -> list[Frame]:
        """Take a frame; return the frames that are next, in order."""
        now = self._clock()
        worker = self._workers.setdefault(
            frame.incarnation, _WorkerFrames(heard_at=now)
        )
        worker.heard_at = now
        worker.highest = max(worker.highest, frame.seq)
        if not frame.events:
            # The worker counts from 1 again: it had dropped this process as dead.
            worker.is_broken |= frame.seq < worker.taken
            return []
        if frame.seq > worker.taken:
            worker.early[frame.seq] = frame
        ready = []
        while worker.taken + 1 in worker.early:
            worker.taken += 1
            ready.append(worker.early.pop(worker.taken))
        return ready

    def missing(self, frame: Frame) -> int | None:
        """Return the first number to request again, after ``put`` of this frame.

        A gap is requested when it opens, and again at every frame without events while
        it is open: the frames that were sent again may be lost, too.
        """
        worker = self._workers.get(frame.incarnation)
        if worker is None:
            return None
        if not worker.early and frame.seq <= worker.taken:
            worker.gap_since = None
            return None
        if worker.gap_since is None:
            worker.gap_since = self._clock()
        elif frame.events:
            return None
        return worker.taken + 1

    def is_broken(self, incarnation: str) -> bool:
        """Whether events of this worker are lost for good."""
        worker = self._workers.get(incarnation)
        if worker is None:
            return False
        waited = 0.0 if worker.gap_since is None else self._clock() - worker.gap_since
        return worker.is_broken or waited > _GAP_S

    def silent_for(self, incarnation: str) -> float:
        """Return the seconds since the last frame of this worker."""
        worker = self._workers.get(incarnation)
        return math.inf if worker is None else self._clock() - worker.heard_at

    def resync(self, incarnation: str) -> None:
        """Give up the missing frames of a living worker; go on with the next one."""
        worker = self._workers.get(incarnation)
        if worker is not None:
            worker.taken = worker.highest
            worker.early.clear()
            worker.gap_since = None
            worker.is_broken = False

    def forget(self, incarnation: str) -> None:
        """Drop the state of a worker that is gone."""
        self._workers.pop(incarnation, None)
