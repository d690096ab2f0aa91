"""Validates the messages of a chat and converts them to those of a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inference.api.body.text_limits import check_sizes
from inference.api.body.validation_errors import missing
from inference.api.chat.messages import AssistantMessage, TextPart, ToolMessage
from inference.api.errors import BadRequest, quote
from inference.prompts.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.chat.messages import ChatMessage, RefusalPart

#: What joins the text parts of a message: a chat template gets one text.
_PART_SEPARATOR = "\n"


def conversation(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Return the messages; tool messages get the name of their function.

    Raises BadRequest unless every call is answered by a tool message before any other
    message, for tool messages without a call, and for texts that are too large.
    """
    found = [_message(message, index) for index, message in enumerate(messages)]
    sizes = {f"messages[{index}]": each.size_bytes for index, each in enumerate(found)}
    check_sizes(sizes, "messages")
    return _answered(found)


def text_of(content: str | Sequence[TextPart | RefusalPart]) -> str:
    """Return the text parts of a message as one text."""
    if isinstance(content, str):
        return content
    return _PART_SEPARATOR.join(
        part.text if isinstance(part, TextPart) else part.refusal for part in content
    )


def _message(message: ChatMessage, index: int) -> Message:
    if isinstance(message, AssistantMessage):
        return _assistant(message, f"messages[{index}]")
    return Message(
        role=message.role,
        content=text_of(message.content),
        name=message.name,
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
    )


def _assistant(message: AssistantMessage, path: str) -> Message:
    content = None if message.content is None else text_of(message.content)
    if message.refusal is not None:
        if content:
            raise BadRequest(
                f"'{path}' has content and a refusal; an answer has one of them.",
                param=f"{path}.refusal",
            )
        content = message.refusal
    if content is None and message.tool_calls is None:
        raise missing(f"{path}.content")
    return Message(
        role=message.role,
        content=content,
        name=message.name,
        tool_calls=tuple(call.model_dump() for call in message.tool_calls or ()),
        reasoning=message.reasoning_content,
    )


def _answered(messages: Sequence[Message]) -> tuple[Message, ...]:
    named = []
    calls: dict[str, str] = {}
    caller = ""
    for index, message in enumerate(messages):
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            if call_id not in calls:
                path = f"messages[{index}].tool_call_id"
                raise BadRequest(
                    f"'{path}' is '{quote(call_id)}', and the assistant has no call of "
                    "this id right before it that is not answered yet.",
                    param=path,
                )
            function = calls.pop(call_id)
            named.append(replace(message, name=message.name or function))
            continue
        if calls:
            break
        if message.tool_calls:
            caller = f"messages[{index}].tool_calls"
            calls = {
                call["id"]: call["function"]["name"] for call in message.tool_calls
            }
            if len(calls) < len(message.tool_calls):
                raise BadRequest(
                    f"Two calls of '{caller}' have the same id.", param=caller
                )
        named.append(message)
    _check_all_answered(calls, caller)
    return tuple(named)


def _check_all_answered(calls: Mapping[str, str], path: str) -> None:
    if calls:
        ids = ", ".join(quote(call_id) for call_id in calls)
        raise BadRequest(
            f"Each call of '{path}' must be answered by a message of role 'tool' with "
            f"its 'tool_call_id' before any other message. Not answered: {ids}.",
            param=path,
        )
