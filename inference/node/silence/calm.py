"""How often a node looks at the rows and shows that it lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llm_manager.lib.clocks.whole_times import until_next

if TYPE_CHECKING:
    from collections.abc import Callable

#: While something goes on: models are loaded or unloaded, somebody asked for a look.
_BUSY_S = 1.0
#: While workers serve requests and nothing else goes on: what they report is written so
#: often.
_SERVING_S = 3.0
#: How often a node whose workers serve looks for others.
_MEET_SERVING_S = 6.0
#: While nothing does. What must be seen at once comes by Redis; this is for the rest,
#: and for messages that were lost.
_LOOK_S = 5.0
#: The same for a node that is alone: nobody else changes what it has.
_LOOK_ALONE_S = 60.0
#: How often it looks whether it still is.
_MEET_ALONE_S = 20.0
#: A node counts as alive for ten seconds after a heartbeat: three of these. Other nodes
#: doubt one much earlier, so this is for a node that is alone.
_BEAT_S = 3.0
#: Nothing has gone on for this long.
_CALM_AFTER_S = 15.0


class Calm:
    """What has gone on lately, and so how often a node has to look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._disturbed_at = self._served_at = clock()
        #: Whether there are no other nodes.
        self.is_alone = False

    def disturb(self) -> None:
        """Note that something goes on now."""
        self._disturbed_at = self._clock()

    def serve(self) -> None:
        """Note that requests come and go, which disturbs nobody."""
        self._served_at = self._clock()

    @property
    def is_undisturbed(self) -> bool:
        """Whether at most requests have come and gone lately."""
        return not self._is_recent(self._disturbed_at)

    @property
    def look_in_s(self) -> float:
        """Seconds until the rows are read again, unless the node is woken."""
        if not self.is_undisturbed:
            return _BUSY_S
        if self._is_recent(self._served_at):
            return until_next(_SERVING_S, clock=self._clock)
        return _LOOK_ALONE_S if self.is_alone else _LOOK_S

    @property
    def meet_in_s(self) -> float:
        """Seconds until other nodes, and their workers, are looked for again."""
        if not self.is_undisturbed:
            return _BUSY_S
        if self._is_recent(self._served_at):
            return until_next(_MEET_SERVING_S, clock=self._clock)
        return _MEET_ALONE_S if self.is_alone else _LOOK_S

    @property
    def beat_in_s(self) -> float:
        """Seconds until the next heartbeat."""
        if self.is_alone and self.is_undisturbed:
            return until_next(_BEAT_S, clock=self._clock)
        return _BUSY_S

    def _is_recent(self, at: float) -> bool:
        return self._clock() - at < _CALM_AFTER_S
