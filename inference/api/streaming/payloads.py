"""Builds the objects of OpenAI's answers from the engine's output."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json

from inference.api.streaming.logprobs import chat_logprobs
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.api.streaming.response_objects import (
        ChatAnswer,
        ChatChunk,
        ChatChunkChoice,
        ChatCompletion,
        ChatFinishReason,
        ChatLogprobs,
        CompletionUsage,
        CustomCall,
        MessageDelta,
        TextChoice,
        TextCompletion,
        TextFinishReason,
        TextLogprobs,
        ToolCall,
        ToolCallDelta,
    )
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """What all objects of one answer have in common."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    @classmethod
    def new(
        cls, prefix: str, *, model: str, fingerprint: str, is_deterministic: bool
    ) -> AnswerHeader:
        """Return the header of a new answer; its id starts with ``prefix``.

        The fingerprint shows whether the same request gets the same answer.
        """
        end = "-deterministic" if is_deterministic else ""
        return cls(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model,
            system_fingerprint=f"fp_{fingerprint[:12]}{end}",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished sequence.

    ``logprobs`` are those of its tokens, None if not requested; ``prompt`` those of its
    prompt's tokens. ``parts`` are the parsed parts, None if the whole text is content.
    ``stopped_by`` is the stop string that ended it, if one did.
    """

    text: str
    finish_reason: ChatFinishReason
    logprobs: tuple[TokenLogprobs, ...] | None = None
    prompt: tuple[TokenLogprobs, ...] = ()
    parts: tuple[Delta, ...] | None = None
    stopped_by: str = ""


def object_of(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call; of one that was cut, what there is of them."""
    try:
        value = from_json(arguments or "{}", allow_partial="trailing-strings")
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def chat_completion(
    header: AnswerHeader, answers: Sequence[Answer], usage: CompletionUsage
) -> ChatCompletion:
    """Return a whole chat answer."""
    return {
        "id": header.id,
        "object": "chat.completion",
        "created": header.created,
        "model": header.model,
        "system_fingerprint": header.system_fingerprint,
        "choices": [
            {
                "index": index,
                "message": _message(answer),
                "logprobs": (
                    None if answer.logprobs is None else chat_logprobs(answer.logprobs)
                ),
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage,
    }


def _message(answer: Answer) -> ChatAnswer:
    if answer.parts is None:
        return {"role": "assistant", "content": answer.text, "refusal": None}
    content: list[str] = []
    reasoning: list[str] = []
    begun: list[ToolCallBegin] = []
    arguments: list[list[str]] = []
    for part in answer.parts:
        match part:
            case ContentDelta(text):
                content.append(text)
            case ReasoningDelta(text):
                reasoning.append(text)
            case ToolCallBegin():
                begun.append(part)
                arguments.append([])
            case ToolCallArguments(index, fragment):
                arguments[index].append(fragment)
    calls: list[ToolCall | CustomCall] = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": "".join(texts)},
        }
        for call, texts in zip(begun, arguments, strict=True)
    ]
    message: ChatAnswer = {
        "role": "assistant",
        "content": "".join(content) if content or not calls else None,
        "refusal": None,
    }
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    return message


def delta_of(part: Delta) -> MessageDelta:
    """Return the delta of a chunk for a part of an answer."""
    match part:
        case ContentDelta(text):
            return {"content": text}
        case ReasoningDelta(text):
            return {"reasoning_content": text}
        case ToolCallBegin(index, id_, name):
            call: ToolCallDelta = {
                "index": index,
                "id": id_,
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            return {"tool_calls": [call]}
        case ToolCallArguments(index, fragment):
            more: ToolCallDelta = {
                "index": index,
                "function": {"arguments": fragment},
            }
            return {"tool_calls": [more]}


def chat_chunk(header: AnswerHeader, choices: list[ChatChunkChoice]) -> ChatChunk:
    """Return one event of a chat stream."""
    return {
        "id": header.id,
        "object": "chat.completion.chunk",
        "created": header.created,
        "model": header.model,
        "system_fingerprint": header.system_fingerprint,
        "choices": choices,
    }


def chat_delta(
    index: int,
    delta: MessageDelta,
    finish_reason: ChatFinishReason | None = None,
    logprobs: ChatLogprobs | None = None,
) -> ChatChunkChoice:
    """Return the choice of a chunk that adds to an answer."""
    return {
        "index": index,
        "delta": delta,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }


def text_completion(header: AnswerHeader, choices: list[TextChoice]) -> TextCompletion:
    """Return a text answer, or one event of its stream."""
    return {
        "id": header.id,
        "object": "text_completion",
        "created": header.created,
        "model": header.model,
        "system_fingerprint": header.system_fingerprint,
        "choices": choices,
    }


def text_choice(
    index: int,
    text: str,
    finish_reason: TextFinishReason | None = None,
    logprobs: TextLogprobs | None = None,
) -> TextChoice:
    """Return one choice of a text answer, or of an event of its stream."""
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }
