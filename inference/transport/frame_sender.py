"""Numbers a worker's frames per web process, and keeps them to send them again."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.output import PoolingOutput
from inference.transport.messages.events import Event, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Frames kept per web process: at 30 steps a second more than half a minute.
_KEPT_FRAMES = 1024
#: Bytes of vectors kept per web process; a token's event is tiny beside them.
_KEPT_BYTES = 64 * 2**20
#: A web process without a Renew for this long is gone.
LEASE_S = 15.0


@dataclass(slots=True)
class _WebProcess:
    """The new events for one web process, and the frames that were sent to it."""

    renewed_at: float
    pending: list[Event] = field(default_factory=list)
    sent: deque[Frame] = field(default_factory=deque)
    sent_bytes: int = 0
    seq: int = 0
    is_expired: bool = False


class FrameSender:
    """Collects events by web process and makes frames of them.

    ``control`` is the worker's channel, to be set before the first frame.
    """

    def __init__(
        self,
        incarnation: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._incarnation = incarnation
        self.control = ""
        self._clock = clock
        self._web_processes: dict[str, _WebProcess] = {}

    def renew(self, reply_to: str) -> None:
        """Note that this web process is alive."""
        web = self._web_processes.get(reply_to)
        if web is None:
            self._web_processes[reply_to] = _WebProcess(renewed_at=self._clock())
        else:
            web.renewed_at = self._clock()
            web.is_expired = False

    def put(self, reply_to: str, event: Event) -> None:
        """Keep an event for the next frame to a web process."""
        if reply_to not in self._web_processes:
            self.renew(reply_to)
        self._web_processes[reply_to].pending.append(event)

    def take(self) -> list[tuple[str, Frame]]:
        """Return a frame for each web process that has new events."""
        return [
            (reply_to, self._frame(web))
            for reply_to, web in self._web_processes.items()
            if web.pending
        ]

    def count_frame(self, reply_to: str) -> Frame:
        """Return a frame without events, which carries the current number."""
        web = self._web_processes[reply_to]
        return Frame(self._incarnation, self.control, web.seq, ())

    def sent_from(self, reply_to: str, seq: int) -> Iterator[Frame]:
        """Yield the kept frames from ``seq`` on, oldest first."""
        web = self._web_processes.get(reply_to)
        if web is not None:
            yield from [frame for frame in web.sent if frame.seq >= seq]

    def expired(self) -> list[str]:
        """Drop the frames for dead web processes; return those that just died.

        The numbering continues: a process that was only idle continues where it was.
        """
        limit = self._clock() - LEASE_S
        gone = []
        for name, web in self._web_processes.items():
            if web.renewed_at < limit and not web.is_expired:
                web.is_expired = True
                web.pending = []
                web.sent.clear()
                web.sent_bytes = 0
                gone.append(name)
        return gone

    def _frame(self, web: _WebProcess) -> Frame:
        web.seq += 1
        frame = Frame(self._incarnation, self.control, web.seq, tuple(web.pending))
        web.pending = []
        web.sent.append(frame)
        web.sent_bytes += _num_bytes(frame)
        while len(web.sent) > _KEPT_FRAMES or web.sent_bytes > _KEPT_BYTES:
            web.sent_bytes -= _num_bytes(web.sent.popleft())
        return frame


def _num_bytes(frame: Frame) -> int:
    """Return the bytes of the vectors in a frame."""
    return sum(
        len(vector)
        for event in frame.events
        if isinstance(event, PoolingOutput)
        for vector in event.vectors
    )
