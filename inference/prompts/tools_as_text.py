"""Tools and calls as plain text, for chat templates that do not support them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference.output_parsers.families import plain_json
from inference.prompts.message_form import arguments_of
from inference.prompts.messages import SYSTEM, Message, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.output_parsers import Framing, OutputParser
    from inference.prompts.messages import Tool


def with_instructions(
    messages: Sequence[Message], tools: Iterable[Tool], output_parser: OutputParser
) -> list[Message]:
    """Return the conversation with a description of the tools in its system message.

    That is added if there is none. The description asks for calls in the form that the
    output parser reads.
    """
    instructions = output_parser.instructions or plain_json.instructions
    text = instructions([tool.function() for tool in tools])
    first, rest = messages[0], list(messages[1:])
    if first.role in SYSTEM:
        return [replace(first, content=joined(first.content, text)), *rest]
    return [Message("system", text), *messages]


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
            text = joined(message.content, _written(message.tool_calls, framing))
            shown.append(replace(message, content=text, tool_calls=()))
        elif is_result:
            text = plain_json.result(message.name or "", message.content or "")
            if was_result:
                text = joined(shown.pop().content, text)
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
    return framing.write((f["name"], arguments_of(f["arguments"])) for f in functions)
