"""Connections on which no request is answered: they make room for others."""

from __future__ import annotations

import logging
import resource
from typing import Protocol

logger = logging.getLogger(__name__)

#: The share of a process's descriptors that connections of clients may take, ...
_SHARE = 0.75
#: ... and the most: many times what one process can answer.
_MOST = 16_384


class Peer(Protocol):
    """What is counted."""

    def cut(self) -> None:
        """End it at once."""


class IdleConnections:
    """Counts a server's connections; beyond ``most`` the one longest idle is cut.

    Anybody may open connections and send nothing. Without a bound they would take all
    descriptors of the process, and nobody else could connect. A client that sends its
    request with the connection is idle for a moment only.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        #: The one that is idle for longest is the first.
        self._idle: dict[Peer, None] = {}

    def opened(self, connection: Peer) -> None:
        """Count a new connection, which is idle."""
        self._open += 1
        self._idle[connection] = None
        if self._open > self._most:
            longest = next(iter(self._idle))
            del self._idle[longest]
            logger.warning(
                "There are more than %d connections; idle ones are closed.", self._most
            )
            longest.cut()

    def busy(self, connection: Peer) -> None:
        """Note that a request is answered on it."""
        self._idle.pop(connection, None)

    def rests(self, connection: Peer) -> None:
        """Note that its request is answered."""
        self._idle[connection] = None

    def closed(self, connection: Peer) -> None:
        """Forget a connection."""
        self._open -= 1
        self._idle.pop(connection, None)


def most_connections() -> int:
    """Return how many connections this process may have at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft < 0 else max(min(int(soft * _SHARE), _MOST), 1)
