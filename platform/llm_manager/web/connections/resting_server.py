"""Daphne that wakes up for its requests, and not while it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# First: importing it installs Twisted's asyncio reactor.
from daphne.server import Server  # isort: skip
from twisted.internet import reactor as _reactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_manager.web.connections.streamed_request import StreamedRequest

reactor: Any = _reactor


class RestingServer(Server):  # type: ignore[misc]  # Daphne has no types
    """Daphne whose two checks of all requests rest while there are no requests.

    Daphne looks every second for applications that have ended, and every two for
    requests that took too long; each look plans the next one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._resting: list[Callable[[], None]] = []

    def protocol_connected(self, protocol: StreamedRequest) -> None:
        """Add a request; checks that rest begin again."""
        super().protocol_connected(protocol)
        for check in self._resting:
            reactor.callLater(1, check)
        self._resting.clear()

    def application_checker(self) -> None:
        """Clean up applications that have ended."""
        if self.connections:
            super().application_checker()
        else:
            self._resting.append(self.application_checker)

    def timeout_checker(self) -> None:
        """End requests that took too long."""
        if self.connections:
            super().timeout_checker()
        else:
            self._resting.append(self.timeout_checker)
