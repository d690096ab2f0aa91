"""Server-sent events as bytes."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

#: A comment: clients read over it, proxies and people see that something lives.
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
#: Stands in a payload for the text that a Template puts there.
HOLE = "\x00text\x00"


def event(payload: Any) -> bytes:
    """Return an object as one event."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")


class Template:
    """An event of which only one text differs from time to time.

    Most of what a stream sends is such events, and encoding each one whole
    would be most of the work.
    """

    def __init__(self, payload: Any) -> None:
        """``payload`` has HOLE in the text's place, once."""
        before, after = event(payload).split(json.dumps(HOLE).encode())
        self._before = before
        self._after = after

    def fill(self, text: str) -> bytes:
        """Return the event with this text."""
        quoted = encode_basestring(text).encode("utf-8", "replace")
        return self._before + quoted + self._after
