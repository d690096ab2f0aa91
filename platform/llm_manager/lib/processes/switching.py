"""How long a thread that computes keeps the interpreter from one that has waited."""

from __future__ import annotations

import sys

#: CPython's own is 5 ms. An event loop gives the interpreter up at each call to the
#: system, so beside a thread that computes it would wait so long several times a
#: request. A switch takes some 10 µs.
_SECONDS = 0.0005


def switch_soon() -> None:
    """Let threads that wait for the interpreter have it soon, in this process."""
    sys.setswitchinterval(_SECONDS)
