"""What a stream of events said, put together. Pure.

Patterns match words, and a stream has pieces of words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_DATA = b"data: "


def joined(pieces: Iterable[bytes]) -> dict[str, Any]:
    """Return one object in the form of a whole answer for the pieces of a stream."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for line in b"".join(pieces).split(b"\n"):
        if not line.startswith(_DATA + b"{"):
            continue
        try:
            event = json.loads(line[len(_DATA) :])
        except ValueError:
            # The last one that was kept may be torn.
            continue
        for choice in event.pop("choices", None) or ():
            _add(choices.setdefault(choice.get("index", 0), {}), choice)
        answer |= event
    return {**answer, "choices": [{"index": i} | choices[i] for i in sorted(choices)]}


def _add(so_far: dict[str, Any], choice: dict[str, Any]) -> None:
    if choice.get("finish_reason"):
        so_far["finish_reason"] = choice["finish_reason"]
    if "text" in choice:
        so_far["text"] = so_far.get("text", "") + (choice["text"] or "")
    message = so_far.setdefault("message", {}) if "delta" in choice else {}
    for name, value in (choice.get("delta") or {}).items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", {})
            for call in value or ():
                _add_call(calls.setdefault(str(call.get("index", 0)), {}), call)
        elif isinstance(value, str) and name != "role":
            message[name] = message.get(name, "") + value


def _add_call(so_far: dict[str, Any], call: dict[str, Any]) -> None:
    function = call.get("function") or {}
    if function.get("name"):
        so_far["name"] = function["name"]
    arguments = function.get("arguments") or ""
    so_far["arguments"] = so_far.get("arguments", "") + arguments
