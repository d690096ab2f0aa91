"""OpenAI's objects, built by pure functions from what the engine tells."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from inference.api.streaming.logprobs import ChatLogprobs, TextLogprobs, chat_logprobs
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.streaming.usage import AnswerUsage
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta as Read

FinishReason = Literal["stop", "length"]
ChatFinishReason = Literal["stop", "length", "tool_calls"]
#: The engine's words are OpenAI's.
REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class PromptTokensDetails(TypedDict):
    """Where the prompt's tokens came from."""

    cached_tokens: int


class CompletionTokensDetails(TypedDict, total=False):
    """What the answer's tokens were for, and how many were guessed."""

    reasoning_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class Usage(TypedDict):
    """The engine's own count of a request's tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: NotRequired[CompletionTokensDetails]


class FunctionCall(TypedDict):
    """What is called; ``arguments`` is JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One call of a tool."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class ChatAnswer(TypedDict):
    """The message of one choice; ``content`` is null where there are only calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]


class ChatChoice(TypedDict):
    """One of the n answers."""

    index: int
    message: ChatAnswer
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(TypedDict):
    """The answer of POST /v1/chat/completions without stream."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class FunctionDelta(TypedDict, total=False):
    """What a chunk adds to what is called: first the name, then its arguments."""

    name: str
    arguments: str


class ToolCallDelta(TypedDict):
    """What a chunk adds to a call; ``index`` counts the answer's calls from 0."""

    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: FunctionDelta


class Delta(TypedDict, total=False):
    """What a chunk adds to a message."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str
    tool_calls: list[ToolCallDelta]


class ChatChunkChoice(TypedDict):
    """What a chunk adds to one of the n answers."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason | None


class ChatChunk(TypedDict):
    """One event of a streamed chat completion."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: NotRequired[Usage | None]


class TextChoice(TypedDict):
    """One answer, or, in a stream, what is added to it."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None


class TextCompletion(TypedDict):
    """The answer of POST /v1/completions, and each event of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: NotRequired[Usage | None]


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """What all objects of one answer have in common."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    @classmethod
    def new(cls, prefix: str, *, model: str, fingerprint: str) -> AnswerHeader:
        """Return the header of a new answer; the id starts with ``prefix``."""
        return cls(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model,
            system_fingerprint=f"fp_{fingerprint[:12]}",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished sequence.

    ``logprobs`` are of its tokens, None if nobody asks; ``prompt`` of its prompt's.
    ``parts`` is what the text was read as, None if it is content as it is.
    """

    text: str
    finish_reason: ChatFinishReason
    logprobs: tuple[TokenLogprobs, ...] | None = None
    prompt: tuple[TokenLogprobs, ...] = ()
    parts: tuple[Read, ...] | None = None


def usage(
    sequences: Mapping[int, AnswerUsage],
    *,
    n: int,
    reasoning_tokens: int | None = None,
) -> Usage:
    """Return the usage of a request whose prompts have n sequences each.

    A prompt is counted once, however many answers it gets. Of its tokens those
    were cached that no sequence had to compute. ``reasoning_tokens`` None says
    that nobody has told reasoning from the rest. Guessed tokens are told where there
    were some, whoever guessed them.
    """
    prompts = [
        [sequences[index] for index in range(first, first + n)]
        for first in range(0, len(sequences), n)
    ]
    prompt_tokens = sum(prompt[0].prompt_tokens for prompt in prompts)
    completion_tokens = sum(each.completion_tokens for each in sequences.values())
    cached = sum(min(each.cached_tokens for each in prompt) for prompt in prompts)
    counted: Usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    details: CompletionTokensDetails = {}
    if reasoning_tokens is not None:
        details["reasoning_tokens"] = reasoning_tokens
    accepted = sum(each.accepted for each in sequences.values())
    rejected = sum(each.rejected for each in sequences.values())
    if accepted or rejected:
        details["accepted_prediction_tokens"] = accepted
        details["rejected_prediction_tokens"] = rejected
    if details:
        counted["completion_tokens_details"] = details
    return counted


def chat_completion(
    header: AnswerHeader, answers: Sequence[Answer], usage: Usage
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
    calls: list[ToolCall] = [
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


def delta_of(part: Read) -> Delta:
    """Return what a chunk says of a part of an answer."""
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
    delta: Delta,
    finish_reason: ChatFinishReason | None = None,
    logprobs: ChatLogprobs | None = None,
) -> ChatChunkChoice:
    """Return what a chunk adds to an answer."""
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
    finish_reason: FinishReason | None = None,
    logprobs: TextLogprobs | None = None,
) -> TextChoice:
    """Return one text answer, or what an event adds to it."""
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }
