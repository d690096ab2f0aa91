"""Tools and calls as plain text, for chat templates that do not support them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference.output_parsers.families import plain_json
from inference.prompts.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.output_parsers import Framing, OutputParser
    from inference.prompts.messages import Tool

_SYSTEM = ("system", "developer")


def with_instructions(
    messages: Sequence[Message], tools: Iterable[Tool], *, takes_system: bool
) -> list[Message]:
    """Return the conversation with a description of the tools at its beginning.

    The description goes into the system message, which is added if there is none. If
    the template ignores system messages, it goes into the first message.
    """
    text = plain_json.instructions(tool.function() for tool in tools)
    first, rest = messages[0], list(messages[1:])
    if first.role in _SYSTEM:
        return [replace(first, content=_joined(first.content, text)), *rest]
    if takes_system:
        return [Message("system", text), *messages]
    return [replace(first, content=_joined(text, first.content)), *rest]


def with_calls_as_text(
    messages: Sequence[Message], framing: Framing, *, takes_results: bool
) -> list[Message]:
    """Return the conversation with each call as the model would write it.

    Unless ``takes_results``, successive results become one user message.
    """
    shown: list[Message] = []
    was_result = False
    for message in messages:
        is_result = message.role == "tool" and not takes_results
        if message.tool_calls:
            text = _joined(message.content, _written(message.tool_calls, framing))
            shown.append(replace(message, content=text, tool_calls=()))
        elif is_result:
            text = plain_json.result(message.name or "", message.content or "")
            if was_result:
                text = _joined(shown.pop().content, text)
            shown.append(Message("user", text))
        else:
            shown.append(message)
        was_result = is_result
    return shown


def begin_answer(
    begun: Message, prompt: str, output_parser: OutputParser
) -> tuple[str, bool]:
    """Return the beginning of an answer as the model writes it.

    Also returns whether it ends in reasoning. ``prompt`` is the text before it, which
    may begin the reasoning itself.
    """
    reasoning, framing = output_parser.reasoning, output_parser.framing
    in_reasoning = reasoning.is_begun_by(prompt)
    text = ""
    if begun.reasoning:
        text = ("" if in_reasoning else reasoning.opening) + begun.reasoning
        in_reasoning = True
    if not begun.content:
        return text, in_reasoning
    if in_reasoning:
        text += reasoning.closing + framing.after_reasoning
    return text + framing.before_content + begun.content, False


def _written(calls: Iterable[dict[str, Any]], framing: Framing) -> str:
    functions = [call["function"] for call in calls]
    return framing.write((f["name"], _object(f["arguments"])) for f in functions)


def _object(text: str) -> dict[str, Any]:
    """Return the arguments, empty if they are not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _joined(*texts: str | None) -> str:
    return "\n\n".join(text for text in texts if text)
