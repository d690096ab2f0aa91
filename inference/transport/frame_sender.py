"""Numbers a worker's frames per web process, and keeps them to send them again."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.transport.messages.events import (
    MAX_UNREAD_BYTES,
    Event,
    Frame,
    LineState,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: Frames kept per web process: at 30 steps a second more than half a minute.
_KEPT_FRAMES = 1024
#: Bytes kept per web process: a frame may have thousands of logprobs, or vectors.
_KEPT_BYTES = MAX_UNREAD_BYTES
#: A web process without a Renew for this many beats is gone. There is one a second.
LEASE_BEATS = 15
#: One to whose channel nobody has been subscribed for this many is gone: Redis has seen
#: its connection end. After a restart of Redis it is there again before that.
DEAF_BEATS = 3


@dataclass(slots=True)
class _Line:
    """The new events for one web process, and the frames that were sent to it."""

    number: int
    pending: list[Event] = field(default_factory=list)
    sent: deque[Frame] = field(default_factory=deque)
    sent_bytes: int = 0
    seq: int = 0
    silent_beats: int = 0
    deaf_beats: int = 0


class FrameSender:
    """Collects events by web process and makes frames of them.

    ``control`` is the worker's channel, to be set before the first frame.
    """

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self.control = ""
        self._numbers = itertools.count(1)
        self._lines: dict[str, _Line] = {}

    def renew(self, reply_to: str) -> None:
        """Note that this web process is alive; begin a line to it if there is none."""
        line = self._line(reply_to)
        line.silent_beats = line.deaf_beats = 0

    def put(self, reply_to: str, event: Event) -> None:
        """Keep an event for the next frame to a web process."""
        self._line(reply_to).pending.append(event)

    def take(self) -> list[tuple[str, Frame]]:
        """Return a frame for each web process that has new events."""
        return [
            (reply_to, self._frame(line))
            for reply_to, line in self._lines.items()
            if line.pending
        ]

    def state(self, reply_to: str, requests: Iterable[str] = ()) -> LineState:
        """Return the state of the line to a web process, which has these requests.

        A request that has ended counts until its last event is in a frame.
        """
        line = self._line(reply_to)
        unsent = (event.request_id for event in line.pending)
        return LineState(
            self._incarnation,
            self.control,
            line.number,
            line.seq,
            line.sent[0].seq if line.sent else line.seq + 1,
            tuple(dict.fromkeys([*requests, *unsent])),
        )

    def sent_from(self, reply_to: str, seq: int) -> Iterator[Frame]:
        """Yield the kept frames from ``seq`` on, oldest first."""
        line = self._lines.get(reply_to)
        if line is not None:
            yield from [frame for frame in line.sent if frame.seq >= seq]

    @property
    def channels(self) -> list[str]:
        """The channels of the web processes that there are lines to."""
        return list(self._lines)

    def beat(self, deaf: Collection[str] = ()) -> list[str]:
        """Count a beat; end the lines to web processes that are gone, and return them.

        To the channels of the ``deaf`` nobody is subscribed.

        A beat is a second in which Redis carried messages of this worker. While Redis
        or the worker itself stands still, no lease runs out. If the web process comes
        back, it gets another line, and learns by its number that its requests are gone.
        """
        gone = []
        for reply_to, line in self._lines.items():
            line.silent_beats += 1
            line.deaf_beats = line.deaf_beats + 1 if reply_to in deaf else 0
            if line.silent_beats > LEASE_BEATS or line.deaf_beats >= DEAF_BEATS:
                gone.append(reply_to)
        for reply_to in gone:
            del self._lines[reply_to]
        return gone

    def _line(self, reply_to: str) -> _Line:
        line = self._lines.get(reply_to)
        if line is None:
            line = self._lines[reply_to] = _Line(next(self._numbers))
        return line

    def _frame(self, line: _Line) -> Frame:
        line.seq += 1
        frame = Frame(
            self._incarnation, self.control, line.number, line.seq, tuple(line.pending)
        )
        line.pending = []
        line.sent.append(frame)
        line.sent_bytes += frame.num_bytes
        while len(line.sent) > _KEPT_FRAMES or line.sent_bytes > _KEPT_BYTES:
            line.sent_bytes -= line.sent.popleft().num_bytes
        return frame
