"""Encodes server-sent events."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTENT_TYPE = "text/event-stream; charset=utf-8"
#: A comment: clients ignore it, and proxies see that the connection is alive.
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
#: The placeholder for a Template's text in a payload.
HOLE = "\x00text\x00"


def event(payload: Any) -> bytes:
    """Return an object as one event."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")


def named(payload: Mapping[str, Any]) -> bytes:
    """Return an object as one event that is named by its ``type``."""
    return f"event: {payload['type']}\n".encode() + event(payload)


class Template:
    """An event in which only one text changes.

    Most events of a stream are like this, and encoding each of them completely would be
    most of the work.
    """

    def __init__(self, payload: Any, encode: Callable[[Any], bytes] = event) -> None:
        """Take a payload that contains HOLE once, in place of the text."""
        before, after = encode(payload).split(json.dumps(HOLE).encode())
        self._before = before
        self._after = after

    def fill(self, text: str) -> bytes:
        """Return the event with this text."""
        quoted = encode_basestring(text).encode("utf-8", "replace")
        return self._before + quoted + self._after
