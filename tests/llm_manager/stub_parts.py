"""Trivial parts for the launcher: `stub_parts.py web|engine LOG …`.

Each writes a line to LOG when something happens to it, so that a test can read
the order of things.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main() -> None:
    kind, log, *rest = sys.argv[1:]
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: note(log, "stubborn ignores SIGTERM"))
    else:
        signal.signal(signal.SIGTERM, lambda *_: stop(kind, log))
    if "--with-child" in rest:
        note(log, f"grandchild starts {start_stubborn_child()}")
    # Last: a test that reads it finds everything in place.
    note(log, f"{kind} starts {os.getpid()}")
    if kind == "broken":
        sys.exit(3)
    if "alive" in kind:
        # It shows life until a signal makes it hang.
        threading.Thread(target=show_life, daemon=True).start()
    if "web" in kind:
        serve(socket.socket(fileno=int(rest[rest.index("--fd") + 1])))
    while True:
        signal.pause()


def show_life() -> None:
    while True:
        os.write(int(os.environ["LLMM_LIFE_FD"]), b".")
        time.sleep(0.05)


def start_stubborn_child() -> int:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(60)  # where nobody ends it, it is no test's concern
        while True:
            signal.pause()
    return child


def serve(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(_ANSWER)


def stop(kind: str, log: str) -> Any:
    note(log, f"{kind} stops")
    sys.exit(0)


def note(log: str, line: str) -> None:
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
