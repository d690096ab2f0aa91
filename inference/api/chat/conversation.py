"""Validates the messages of a chat and converts them to those of a prompt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference.api.body.blocked_patterns import check_patterns
from inference.api.body.text_limits import check_sizes
from inference.api.chat.messages import (
    AssistantMessage,
    FunctionMessage,
    TextPart,
    ToolMessage,
)
from inference.api.errors import BadRequest
from inference.api.media.marks import MediaMarks
from inference.api.media.parts import AudioPart, ImagePart
from inference.prompts.messages import Message
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.chat.messages import ChatMessage, RefusalPart
    from inference.api.media.parts import MediaPart

#: What joins the text parts of a message: a chat template gets one text.
_PART_SEPARATOR = "\n"


def conversation(
    messages: Sequence[ChatMessage], marks: MediaMarks
) -> tuple[Message, ...]:
    """Return the messages; tool messages get the name of their function.

    ``marks`` takes the images and sounds. Raises BadRequest unless every call is
    answered by a tool message before any other message, for tool messages without a
    call, and for texts that are too large or have a blocked pattern.
    """
    found = [_message(message, index, marks) for index, message in enumerate(messages)]
    sizes = {f"messages[{index}]": each.size_bytes for index, each in enumerate(found)}
    check_sizes(sizes, "messages")
    check_patterns(
        {f"messages[{i}]": each.content or "" for i, each in enumerate(found)}
    )
    former = {i for i, each in enumerate(messages) if _is_former(each)}
    return _answered(found, former)


def text_conversation(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Return the messages where only text is counted or shown. Raises BadRequest."""
    marks = MediaMarks()
    found = conversation(messages, marks)
    marks.check_none()
    return found


def text_of(content: str | Sequence[TextPart | RefusalPart]) -> str:
    """Return the text parts of a message as one text."""
    if isinstance(content, str):
        return content
    return _PART_SEPARATOR.join(
        part.text if isinstance(part, TextPart) else part.refusal for part in content
    )


def _seen(
    content: str | Sequence[TextPart | MediaPart], path: str, marks: MediaMarks
) -> str:
    """Return the parts of a message as one text, with marks for images and sounds.

    As in llama.cpp, a line break is between texts only.
    """
    if isinstance(content, str):
        return content
    found = ""
    was_text = False
    for number, part in enumerate(content):
        if isinstance(part, ImagePart):
            found += marks.add(part, f"{path}[{number}].image_url.url")
            was_text = False
        elif isinstance(part, AudioPart):
            found += marks.add(part, f"{path}[{number}].input_audio.data")
            was_text = False
        else:
            found += (_PART_SEPARATOR if was_text else "") + part.text
            was_text = True
    return found


def _message(message: ChatMessage, index: int, marks: MediaMarks) -> Message:
    if isinstance(message, AssistantMessage):
        return _assistant(message, index)
    call_id = None
    if isinstance(message, ToolMessage):
        call_id = message.tool_call_id
    elif isinstance(message, FunctionMessage):
        call_id = _function_call_id(message.name)
    return Message(
        role="tool" if isinstance(message, FunctionMessage) else message.role,
        content=_seen(message.content, f"messages[{index}].content", marks),
        name=message.name,
        tool_call_id=call_id,
    )


def _assistant(message: AssistantMessage, index: int) -> Message:
    path = f"messages[{index}]"
    content = None if message.content is None else text_of(message.content)
    if message.refusal is not None:
        if content:
            raise BadRequest(
                f"'{path}' has content and a refusal; an answer has one of them.",
                param=f"{path}.refusal",
            )
        content = message.refusal
    calls = _calls(message, path)
    return Message(
        role=message.role,
        # An answer that was cut off while the model reasoned has no content.
        content=content if content is not None or calls else "",
        name=message.name,
        tool_calls=calls,
        reasoning=_reasoning(message, path),
    )


def _calls(message: AssistantMessage, path: str) -> tuple[dict[str, Any], ...]:
    """Return OpenAI's objects of the calls, those of its former API too."""
    calls = [(call.id, call.function) for call in message.tool_calls]
    if message.function_call is not None:
        if calls:
            raise BadRequest(
                f"'{path}' has 'tool_calls' and 'function_call'; send one of them.",
                param=f"{path}.function_call",
            )
        former = message.function_call
        calls = [(_function_call_id(former.name), former)]
    return tuple(
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": function.name,
                "arguments": function.arguments
                if isinstance(function.arguments, str)
                else json.dumps(function.arguments, ensure_ascii=False),
            },
        }
        for call_id, function in calls
    )


def _is_former(message: ChatMessage) -> bool:
    """Return whether a message is of OpenAI's former API, where calls have no ids."""
    if isinstance(message, AssistantMessage):
        return message.function_call is not None
    return isinstance(message, FunctionMessage)


def _function_call_id(name: str) -> str:
    """Return the id of a call that has none: each message has one such call at most."""
    return f"call_{name}"


def _reasoning(message: AssistantMessage, path: str) -> str | None:
    """Return the reasoning under either name. Raises BadRequest if they differ."""
    given, other = message.reasoning_content, message.reasoning
    if given is not None and other is not None and given != other:
        raise BadRequest(
            f"'{path}.reasoning_content' and '{path}.reasoning' mean the same and "
            "differ; send one of them.",
            param=f"{path}.reasoning",
        )
    return other if given is None else given


def _answered(messages: Sequence[Message], former: set[int]) -> tuple[Message, ...]:
    """Return the messages; results get the name of their function.

    ``former`` are the places of messages without ids. Raises BadRequest.
    """
    named = []
    calls: dict[str, str] = {}
    caller = ""
    for index, message in enumerate(messages):
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            if call_id not in calls:
                raise _no_call(message, index, is_former=index in former)
            function = calls.pop(call_id)
            named.append(replace(message, name=message.name or function))
            continue
        if calls:
            break
        if message.tool_calls:
            member = "function_call" if index in former else "tool_calls"
            caller = f"messages[{index}].{member}"
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


def _no_call(result: Message, index: int, *, is_former: bool) -> BadRequest:
    member, value = "tool_call_id", result.tool_call_id
    if is_former:
        member, value = "name", result.name
    path = f"messages[{index}].{member}"
    return BadRequest(
        f"'{path}' is '{quote(value or '')}', and the assistant has no call of this "
        f"{'name' if is_former else 'id'} right before it that is not answered yet.",
        param=path,
    )


def _check_all_answered(calls: Mapping[str, str], path: str) -> None:
    if not calls:
        return
    if path.endswith("function_call"):
        (name,) = calls.values()
        raise BadRequest(
            f"'{path}' must be answered by a message of role 'function' with the "
            f"'name' {quote(name)} right after it.",
            param=path,
        )
    ids = ", ".join(quote(call_id) for call_id in calls)
    raise BadRequest(
        f"Each call of '{path}' must be answered by a message of role 'tool' with "
        f"its 'tool_call_id' before any other message. Not answered: {ids}.",
        param=path,
    )
