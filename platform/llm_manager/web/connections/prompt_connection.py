"""A TCP connection that sends at once what its socket takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twisted.internet import tcp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.error import ConnectionLost


class PromptConnection(tcp.Server):
    """A connection that sends at once what its socket takes.

    Twisted keeps what is written until the event loop has asked the socket whether it
    takes anything: two system calls and a turn of the loop for each event of each
    stream. Here only what the socket does not take waits like that.

    ``taken_at`` is the time, on the monotonic clock, at which the socket last took
    something.
    """

    taken_at = 0.0
    _has_unsent = False

    def write(self, data: bytes) -> None:
        """Send what the socket takes now; Twisted sends the rest."""
        if data and self.connected and not self._has_unsent:
            sent = self.writeSomeData(data)
            # An exception says that the connection is lost. Twisted's next attempt
            # will find that too, and closes the connection properly.
            if isinstance(sent, int):
                data = data[sent:]
        if data:
            self._has_unsent = True
            super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:  # noqa: N802  # Twisted's name
        """Send pieces as one."""
        self.write(b"".join(iovec))

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:  # noqa: N802  # Twisted's name
        """Send what the socket takes, and note the time if it takes something."""
        sent = super().writeSomeData(data)
        if isinstance(sent, int) and sent > 0:
            self.taken_at = time.monotonic()
        return sent

    def stopWriting(self) -> None:  # noqa: N802  # Twisted's name
        """Note that nothing is left to send: Twisted calls this then."""
        self._has_unsent = False
        super().stopWriting()  # type: ignore[no-untyped-call]
