"""A worker's replies: numbered frames per web process, kept to be sent again."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.transport.messages import Embedded, Event, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Frames kept per web process: at 30 steps a second more than half a minute.
_KEPT_FRAMES = 1024
#: Bytes of vectors kept per web process; beside them a token's event is nothing.
_KEPT_BYTES = 64 * 2**20
#: A web process that has not renewed for this long is gone.
LEASE_S = 15.0


@dataclass(slots=True)
class _Mailbox:
    """What one web process is owed."""

    renewed_at: float
    pending: list[Event] = field(default_factory=list)
    sent: deque[Frame] = field(default_factory=deque)
    sent_bytes: int = 0
    seq: int = 0
    is_expired: bool = False


class Outbox:
    """Collects events by web process and gives them out as frames."""

    def __init__(
        self,
        incarnation: str,
        control: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._incarnation = incarnation
        self._control = control
        self._clock = clock
        self._boxes: dict[str, _Mailbox] = {}

    def renew(self, reply_to: str) -> None:
        """Note that this web process is alive."""
        box = self._boxes.get(reply_to)
        if box is None:
            self._boxes[reply_to] = _Mailbox(renewed_at=self._clock())
        else:
            box.renewed_at = self._clock()
            box.is_expired = False

    def put(self, reply_to: str, event: Event) -> None:
        """Owe an event to a web process."""
        if reply_to not in self._boxes:
            self.renew(reply_to)
        self._boxes[reply_to].pending.append(event)

    def take(self) -> list[tuple[str, Frame]]:
        """Return a frame for each web process that is owed something."""
        return [
            (reply_to, self._frame(box))
            for reply_to, box in self._boxes.items()
            if box.pending
        ]

    def head(self, reply_to: str) -> Frame:
        """Return a frame without events that tells how far the count is."""
        box = self._boxes[reply_to]
        return Frame(self._incarnation, self._control, box.seq, ())

    def again(self, reply_to: str, seq: int) -> Iterator[Frame]:
        """Yield the kept frames from ``seq`` on, oldest first."""
        box = self._boxes.get(reply_to)
        if box is not None:
            yield from [frame for frame in box.sent if frame.seq >= seq]

    def expired(self) -> list[str]:
        """Drop what is kept for web processes that are gone; return the new ones.

        The count goes on: a process that was only idle takes frames up from where
        it was.
        """
        limit = self._clock() - LEASE_S
        gone = []
        for name, box in self._boxes.items():
            if box.renewed_at < limit and not box.is_expired:
                box.is_expired = True
                box.pending = []
                box.sent.clear()
                box.sent_bytes = 0
                gone.append(name)
        return gone

    def _frame(self, box: _Mailbox) -> Frame:
        box.seq += 1
        frame = Frame(self._incarnation, self._control, box.seq, tuple(box.pending))
        box.pending = []
        box.sent.append(frame)
        box.sent_bytes += _num_bytes(frame)
        while len(box.sent) > _KEPT_FRAMES or box.sent_bytes > _KEPT_BYTES:
            box.sent_bytes -= _num_bytes(box.sent.popleft())
        return frame


def _num_bytes(frame: Frame) -> int:
    """Return the bytes of the vectors in a frame."""
    return sum(
        len(vector)
        for event in frame.events
        if isinstance(event, Embedded)
        for vector in event.vectors
    )
