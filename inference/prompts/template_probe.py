"""What a chat template supports, found by rendering short conversations.

Templates agree on the names of variables, but not on whether arguments are an object
or JSON text, or what the content of a message with only calls is. So a conversation is
rendered in each way, and the result shows which works. llama.cpp does the same:
``caps_get`` in common/jinja/caps.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

#: Renders messages and tools; returns None if the template fails.
Try = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str | None]

#: The content of messages in a probe.
TEXT = "a-probe-of-the-template"
_TOOL = "probe_of_tools"
_OTHER_TOOL = "probe_of_more_tools"
_ARGUMENT = "probed_argument"
_RESULT = "probed-result"
_USER = {"role": "user", "content": TEXT}
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": TEXT,
            "parameters": {"type": "object", "properties": {}},
        },
    }
    for name in (_TOOL, _OTHER_TOOL)
]


@dataclass(frozen=True, slots=True)
class CallShape:
    """How a template expects the calls of an assistant's message.

    ``has_text``: arguments are JSON text, not an object. ``content``: the content of
    a message that has only calls.
    """

    has_text: bool = False
    content: str | None = None


def wants_parts(attempt: Try) -> bool:
    """Return whether content must be a list of parts instead of text."""
    parts = [{"type": "text", "text": TEXT}]
    if TEXT in (attempt([_USER], []) or ""):
        return False
    shown = attempt([{"role": "user", "content": parts}], []) or ""
    # A template that expects text prints the list as Python does.
    return TEXT in shown and "'text'" not in shown


def takes_system(attempt: Try) -> bool:
    """Return whether the prompt contains the system message."""
    messages = [{"role": "system", "content": _RESULT}, _USER]
    return _RESULT in (attempt(messages, []) or "")


def takes_tools(attempt: Try) -> bool:
    """Return whether the prompt contains the tools."""
    return _TOOL in (attempt([_USER], _TOOLS) or "")


def call_shape(attempt: Try) -> CallShape | None:
    """Return how calls get into the prompt, None if they do not."""
    shown = {}
    for has_text, content in product((False, True), (None, "")):
        shape = CallShape(has_text, content)
        text = attempt(_conversation(shape, _TOOL), _TOOLS)
        if text is not None and _ARGUMENT in text and _RESULT in text:
            shown[shape] = text
    # Arguments as Python prints them, or JSON within JSON, are better than none.
    fair = {shape: text for shape, text in shown.items() if not _is_garbled(text)}
    shown = fair or shown
    fewest = min((text.count("None") for text in shown.values()), default=0)
    return next((s for s, text in shown.items() if text.count("None") == fewest), None)


def takes_results(attempt: Try) -> bool:
    """Return whether the prompt contains a tool's result after a call in plain text."""
    messages = _conversation(CallShape(), _TOOL)
    messages[1] = {"role": "assistant", "content": TEXT}
    return _RESULT in (attempt(messages, _TOOLS) or "")


def takes_several_calls(attempt: Try, shape: CallShape) -> bool:
    """Return whether the prompt contains the second call of a message."""
    return _OTHER_TOOL in (
        attempt(_conversation(shape, _TOOL, _OTHER_TOOL), _TOOLS[:1]) or ""
    )


def _is_garbled(text: str) -> bool:
    return f"'{_ARGUMENT}'" in text or f'\\"{_ARGUMENT}' in text


def _conversation(shape: CallShape, *names: str) -> list[dict[str, Any]]:
    arguments: Any = {_ARGUMENT: TEXT}
    if shape.has_text:
        arguments = json.dumps(arguments)
    calls = [
        # Mistral's templates reject ids that are not nine letters and digits.
        {
            "id": f"callprob{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for index, name in enumerate(names)
    ]
    results = [
        {
            "role": "tool",
            "content": _RESULT,
            "name": name,
            "tool_call_id": call["id"],
        }
        for name, call in zip(names, calls, strict=True)
    ]
    said = {"role": "assistant", "content": shape.content, "tool_calls": calls}
    return [_USER, said, *results]
