"""How often a node looks at the rows and shows that it lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llm_manager.lib.clocks.whole_times import until_next

if TYPE_CHECKING:
    from collections.abc import Callable

#: While something goes on: models are loaded, requests run, somebody asked for a look.
_BUSY_S = 1.0
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
    """Whether nothing has gone on for a while, and so how often a node has to look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._disturbed_at = clock()
        #: Whether there are no other nodes.
        self.is_alone = False

    def disturb(self) -> None:
        """Note that something goes on now."""
        self._disturbed_at = self._clock()

    @property
    def look_every_s(self) -> float:
        """Seconds until the rows are read again, unless the node is woken."""
        if not self._is_calm:
            return _BUSY_S
        return _LOOK_ALONE_S if self.is_alone else _LOOK_S

    @property
    def meet_every_s(self) -> float:
        """Seconds until other nodes, and their workers, are looked for again."""
        return min(self.look_every_s, _MEET_ALONE_S)

    @property
    def beat_in_s(self) -> float:
        """Seconds until the next heartbeat."""
        if self._is_calm and self.is_alone:
            return until_next(_BEAT_S, clock=self._clock)
        return _BUSY_S

    @property
    def _is_calm(self) -> bool:
        return self._clock() - self._disturbed_at >= _CALM_AFTER_S
