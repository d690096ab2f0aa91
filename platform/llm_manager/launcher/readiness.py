"""Waits until the server answers."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

from llm_manager.launcher.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_manager.launcher.stop_signals import StopSignals

READY_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 20.0
_PAUSE_S = 0.2


class Readiness:
    """Polls GET /health until it answers, and supervises the children meanwhile."""

    def __init__(
        self,
        address: tuple[str, int],
        host_name: str,
        signals: StopSignals,
        supervise: Callable[[], float | None],
    ) -> None:
        self._address = address
        self._request = f"GET /health HTTP/1.0\r\nHost: {host_name}\r\n\r\n".encode()
        self._signals = signals
        self._supervise = supervise

    def wait(self) -> None:
        """Return when the status is 200. Raises StartupError, as ``supervise`` does."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        status = "no answer"
        while time.monotonic() < deadline:
            status = self._ask() or status
            if status == "200":
                return
            self._supervise()
            self._signals.wait(_PAUSE_S)
        raise StartupError(
            f"The server is not ready after {READY_TIMEOUT_S:g} s: GET /health gives "
            f"{status}."
        )

    def _ask(self) -> str | None:
        """Return the status code of /health, or None."""
        # The socket accepts connections before a web process serves them, so the answer
        # may take long. Meanwhile an exited child must still be noticed.
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        with (
            contextlib.suppress(OSError),
            socket.create_connection(self._address) as sock,
        ):
            sock.sendall(self._request)
            sock.setblocking(False)  # noqa: FBT003
            answer = b""
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    received = sock.recv(4096)
                    answer += received
                    if b"\r\n" in answer or not received:
                        words = answer.split(None, 2)
                        return words[1].decode("ascii") if len(words) > 1 else None
                self._signals.wait(self._supervise() or 1.0, [sock.fileno()])
        return None
