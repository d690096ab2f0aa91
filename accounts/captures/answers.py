"""What a stream of events said, put together. Pure.

Patterns match words, and a stream has pieces of words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DATA = b"data: "
#: No secret is longer; private keys of 16,384 bits have some 12,700 characters.
LONGEST_SECRET = 16_384
#: Members of what is put together that are whole from the beginning.
_WHOLE = {"type", "id", "index", "name", "role", "finish_reason"}


def joined(pieces: Iterable[bytes], *, is_cut: bool = False) -> dict[str, Any]:
    """Return one object in the form of a whole answer for the pieces of a stream.

    They are chunks of chats and completions, events of responses or of messages, or
    Ollama's lines.
    ``is_cut``: the last pieces are missing. Each text may end within a secret then, of
    which no pattern matches a part, so it goes without its end.
    """
    answer: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    choices: dict[int, dict[str, Any]] = {}
    output: dict[int, dict[str, str]] = {}
    lines: dict[str, Any] = {}
    for event in _events(pieces):
        kind = event.get("type", "")
        if kind.startswith("response."):
            # The last events have it whole, the first ones have nothing yet.
            if isinstance(event.get("delta"), str):
                item = output.setdefault(event.get("output_index", 0), {})
                name = kind.removesuffix(".delta").removeprefix("response.")
                item[name] = item.get(name, "") + event["delta"]
            elif (event.get("response") or {}).get("output"):
                answer = event["response"]
            continue
        if kind.startswith(("message_", "content_block_", "ping")):
            _add_event(answer, blocks, event)
            continue
        if "done" in event:
            _add_line(lines, event)
        for choice in event.pop("choices", None) or ():
            _add(choices.setdefault(choice.get("index", 0), {}), choice)
        answer |= event
    if is_cut:
        for written in (*choices.values(), *output.values(), *blocks.values(), lines):
            _shorten(written)
    answer |= lines
    if choices:
        answer["choices"] = [{"index": i} | choices[i] for i in sorted(choices)]
    if blocks:
        answer["content"] = [blocks[i] for i in sorted(blocks)]
    if output and "output" not in answer:
        answer["output"] = [output[i] for i in sorted(output)]
    return answer


def _shorten(written: dict[str, Any]) -> None:
    """Take the end off each text that is put together of pieces."""
    for name, value in written.items():
        if isinstance(value, dict):
            _shorten(value)
        elif isinstance(value, str) and name not in _WHOLE:
            written[name] = value[:-LONGEST_SECRET]


def _events(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in b"".join(pieces).split(b"\n"):
        # Without a name of its field it is a line of JSON, as Ollama streams them.
        text = line.removeprefix(_DATA)
        if not text.startswith(b"{"):
            continue
        try:
            yield json.loads(text)
        except ValueError:
            # The last one that was kept may be torn.
            continue


def _add_line(lines: dict[str, Any], event: dict[str, Any]) -> None:
    """Move what one of Ollama's lines has written to what the lines have together."""
    for name in ("response", "thinking"):
        if name in event:
            lines[name] = lines.get(name, "") + event.pop(name)
    if "message" in event:
        message = lines.setdefault("message", {})
        for name, value in event.pop("message").items():
            if name in message and name != "role":
                # A piece of a text, or more calls.
                value = message[name] + value
            message[name] = value


def _add_event(
    answer: dict[str, Any], blocks: dict[int, dict[str, Any]], event: dict[str, Any]
) -> None:
    """Add an event of a message, which has its text in blocks."""
    if event["type"] == "message_start":
        answer |= event["message"]
    elif event["type"] == "content_block_start":
        blocks[event["index"]] = event["content_block"]
    elif event["type"] == "content_block_delta":
        block = blocks.setdefault(event["index"], {})
        for name, piece in event["delta"].items():
            if name != "type":
                block[name] = block.get(name, "") + piece
    elif event["type"] == "message_delta":
        answer |= event["delta"] | {"usage": event["usage"]}


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
