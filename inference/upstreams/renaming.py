"""Puts the name here of a model into answers, whatever an upstream calls it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from inference.upstreams.sse import with_data

#: What stands between a member's name and its value: in compact JSON, and in Python's.
_GAPS = (b"", b" ")
#: Objects in an answer that name the model beside the answer itself: in the events of
#: Anthropic's messages and of OpenAI's responses.
_WITHIN = ("message", "response")
#: No model has a longer name; what is made of names is kept.
_LONGEST = 1000


def renamed(
    data: bytes, value: dict[str, Any], ours: str, *, is_event: bool = False
) -> bytes:
    """Return JSON, or an event with it, under the model's name here.

    ``value`` is the JSON's value. The bytes stay but for the name; only where it cannot
    be found in them for certain are they written again.
    """
    for named in _named(value):
        theirs = named["model"]
        if theirs == ours:
            continue
        known = _spellings(theirs, ours) if len(theirs) <= _LONGEST else ()
        for there, here in known:
            # A text cannot have these bytes, its quotes are escaped; a tool's schema
            # in the answer can.
            if data.count(there) == 1:
                data = data.replace(there, here)
                break
        else:
            for each in _named(value):
                each["model"] = ours
            written = json.dumps(value, separators=(",", ":")).encode()
            return with_data(data, written) if is_event else written
    return data


def _named(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of an answer whose ``model`` is a name."""
    found = [value] if isinstance(value.get("model"), str) else []
    for name in _WITHIN:
        within = value.get(name)
        if isinstance(within, dict) and isinstance(within.get("model"), str):
            found.append(within)
    return found


@lru_cache(maxsize=256)
def _spellings(theirs: str, ours: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return how a member with the name may be written there, and is here."""
    here = json.dumps(ours).encode()
    names = {json.dumps(theirs): None, json.dumps(theirs, ensure_ascii=False): None}
    return tuple(
        (b'"model":' + gap + name.encode("utf-8", "replace"), b'"model":' + gap + here)
        for name in names
        for gap in _GAPS
    )
