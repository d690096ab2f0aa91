"""Puts the frames from workers in order, drops duplicates and detects gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.transport.messages.events import MAX_UNREAD_BYTES, Frame, LineState
from llm_manager.lib.clocks.awake_clock import AwakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

#: A gap that stays open longer is given up: the frames are lost again and again.
_GAP_S = 5.0
#: Frames after a gap that are held, and the bytes in them: as much as a worker keeps.
#: With more the gap is given up.
_HELD_FRAMES = 1024
_HELD_BYTES = MAX_UNREAD_BYTES
#: A worker that is silent for longer is forgotten.
_FORGOTTEN_AFTER_S = 600.0


@dataclass(slots=True)
class _Line:
    """The state of the frames from one worker."""

    number: int
    control: str
    heard_at: float
    taken: int = 0
    highest: int = 0
    gap_since: float | None = None
    held: dict[int, Frame] = field(default_factory=dict)
    held_bytes: int = 0
    is_given_up: bool = False

    def hold(self, frame: Frame) -> None:
        """Keep a frame until those before it are there."""
        if frame.seq <= self.taken or frame.seq in self.held or self.is_given_up:
            return
        self.held[frame.seq] = frame
        self.held_bytes += frame.num_bytes

    def next(self) -> Frame | None:
        """Return the frame that is next, if it is there."""
        frame = self.held.pop(self.taken + 1, None)
        if frame is not None:
            self.taken += 1
            self.held_bytes -= frame.num_bytes
        return frame

    def give_up(self) -> None:
        """Drop what is held, until the worker says where the line stands."""
        self.is_given_up = True
        self.held.clear()
        self.held_bytes = 0

    def go_on_after(self, seq: int) -> None:
        """Give up the frames up to ``seq``; the next one is the one after it."""
        self.give_up()
        self.is_given_up = False
        self.taken = max(self.taken, seq)
        self.gap_since = None


class FrameReceiver:
    """Puts the frames of every worker in order.

    A frame after a gap is held until the missing ones have been sent again. If they
    are lost for good, or the worker has begun another line, the line goes on from
    where the worker says that it stands: ``on_restart`` is called with the worker's
    incarnation, because events of its requests are lost.
    """

    def __init__(
        self,
        *,
        on_restart: Callable[[str], None] = lambda incarnation: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._on_restart = on_restart
        self._clock = clock or AwakeClock()
        self._lines: dict[str, _Line] = {}

    def put(self, message: Frame | LineState) -> list[Frame]:
        """Take a frame or the state of a line; return the frames that are next."""
        line = self._line(message)
        if line is None:
            return []
        line.highest = max(line.highest, message.seq)
        if isinstance(message, LineState):
            if self._is_lost(line, message):
                line.go_on_after(message.seq)
                self._on_restart(message.incarnation)
            return []
        line.hold(message)
        ready = []
        while frame := line.next():
            ready.append(frame)
        if len(line.held) > _HELD_FRAMES or line.held_bytes > _HELD_BYTES:
            line.give_up()
        return ready

    def missing(self, message: Frame | LineState) -> int | None:
        """Return the first number to request again, after ``put`` of this message.

        A gap is requested when it opens, and again at every state of the line while it
        is open: the frames that were sent again may be lost, too.
        """
        line = self._lines.get(message.incarnation)
        if line is None or message.line != line.number:
            return None
        if not line.held and not line.is_given_up and message.seq <= line.taken:
            line.gap_since = None
            return None
        if line.gap_since is None:
            line.gap_since = self._clock()
        elif isinstance(message, Frame):
            return None
        return line.taken + 1

    def is_level(self, state: LineState) -> bool:
        """Whether exactly the frames that the worker had sent then have been taken."""
        line = self._lines.get(state.incarnation)
        return (
            line is not None
            and (line.number, line.taken) == (state.line, state.seq)
            and not line.is_given_up
        )

    def unsettled(self) -> set[str]:
        """Return the channels of the workers whose lines have a gap."""
        return {
            line.control
            for line in self._lines.values()
            if line.held or line.is_given_up or line.taken < line.highest
        }

    def silent_for(self, incarnation: str) -> float:
        """Return the seconds since the last message of this worker."""
        line = self._lines.get(incarnation)
        return math.inf if line is None else self._clock() - line.heard_at

    def forget(self, incarnation: str) -> None:
        """Drop the state of a worker that is gone."""
        self._lines.pop(incarnation, None)

    def forget_silent(self) -> None:
        """Drop the state of all workers that have been silent for long."""
        for incarnation in list(self._lines):
            if self.silent_for(incarnation) > _FORGOTTEN_AFTER_S:
                self.forget(incarnation)

    def _line(self, message: Frame | LineState) -> _Line | None:
        """Return the line of a message, or None if that line has ended."""
        now = self._clock()
        line = self._lines.get(message.incarnation)
        if line is not None and message.line < line.number:
            return None
        if line is None or message.line > line.number:
            is_first = line is None
            line = _Line(message.line, message.control, now)
            self._lines[message.incarnation] = line
            if not is_first:
                self._on_restart(message.incarnation)
        line.heard_at = now
        return line

    def _is_lost(self, line: _Line, state: LineState) -> bool:
        """Whether frames that have not been taken will not come any more."""
        if line.taken >= state.seq and not line.is_given_up:
            return False
        if line.is_given_up or line.taken + 1 < state.kept_from:
            return True
        waited = 0.0 if line.gap_since is None else self._clock() - line.gap_since
        return waited > _GAP_S
