"""How a chat template is given a message: as text or parts, with calls in its form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.prompts.messages import Message


@dataclass(frozen=True, slots=True)
class CallShape:
    """How a template expects the calls of an assistant's message.

    ``has_text``: arguments are JSON text, not an object. ``content``: the content of
    a message that has only calls.
    """

    has_text: bool = False
    content: str | None = None


@dataclass(frozen=True, slots=True)
class MessageForm:
    """How a template expects messages.

    ``wants_parts``: content is a list of parts. ``takes_any_arguments``: arguments may
    be a text that is no JSON object.
    """

    wants_parts: bool = False
    calls: CallShape = CallShape()
    takes_any_arguments: bool = True

    def of(self, message: Message) -> dict[str, Any]:
        """Return the message as the template gets it."""
        content = message.content
        if message.tool_calls and not content:
            content = self.calls.content
        is_parts = self.wants_parts and content is not None
        seen: dict[str, Any] = {
            "role": message.role,
            "content": [{"type": "text", "text": content}] if is_parts else content,
        }
        if message.name is not None:
            seen["name"] = message.name
        if message.tool_call_id is not None:
            seen["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            seen["tool_calls"] = [self._call(call) for call in message.tool_calls]
        if message.reasoning is not None:
            seen["reasoning_content"] = seen["reasoning"] = message.reasoning
            # gpt-oss has one place for the content and the reasoning before a call.
            if not (message.tool_calls and content):
                seen["thinking"] = message.reasoning
        return seen

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call["function"]
        text = function["arguments"]
        arguments: Any = _object(text)
        if self.calls.has_text:
            arguments = "{}" if arguments == {} else text
        elif arguments is None:
            arguments = text if self.takes_any_arguments else arguments_of(text)
        return {**call, "function": {**function, "arguments": arguments}}


def with_responses(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with each result in that of its call, as ``tool_responses``.

    A text that follows the results goes there too. Gemma 4's first templates expect it;
    llama.cpp does the same (``convert_tool_responses_gemma4``).
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        caller = found[-1] if found and found[-1].get("tool_calls") else None
        is_answer = message["role"] == "assistant" and not message.get("tool_calls")
        if caller is not None and message["role"] == "tool":
            response = {"name": message.get("name"), "response": message["content"]}
            responses = [*caller.get("tool_responses", ()), response]
            found[-1] = {**caller, "tool_responses": responses}
        elif (
            caller is not None
            and is_answer
            and caller.get("tool_responses")
            and not caller["content"]
        ):
            found[-1] = {**caller, "content": message["content"]}
        else:
            found.append(message)
    return found


def arguments_of(text: str) -> dict[str, Any]:
    """Return a call's arguments as an object.

    No text and null are no arguments. Any other value that is not an object, or a text
    that is not JSON, is the member ``arguments`` of one, so that nothing is lost.
    """
    arguments = _object(text)
    if arguments is not None:
        return arguments
    try:
        return {"arguments": json.loads(text)}
    except (ValueError, RecursionError):
        return {"arguments": text}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None
    if value is None:
        return {}
    return value if isinstance(value, dict) else None
