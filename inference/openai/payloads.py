"""OpenAI's objects, built by pure functions from what the engine tells."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.protocol import Usage as SequenceUsage

FinishReason = Literal["stop", "length"]


class PromptTokensDetails(TypedDict):
    """Where the prompt's tokens came from."""

    cached_tokens: int


class Usage(TypedDict):
    """The engine's own count of a request's tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class ChatAnswer(TypedDict):
    """The message of one choice."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(TypedDict):
    """One of the n answers."""

    index: int
    message: ChatAnswer
    logprobs: None
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    """The answer of POST /v1/chat/completions without stream."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(TypedDict, total=False):
    """What a chunk adds to a message."""

    role: Literal["assistant"]
    content: str


class ChatChunkChoice(TypedDict):
    """What a chunk adds to one of the n answers."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


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
    logprobs: None
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
class Head:
    """What all objects of one answer have in common."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    @classmethod
    def new(cls, prefix: str, *, model: str, fingerprint: str) -> Head:
        """Return the head of a new answer; the id starts with ``prefix``."""
        return cls(
            id=f"{prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model,
            system_fingerprint=f"fp_{fingerprint[:12]}",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished sequence."""

    text: str
    finish_reason: FinishReason


def usage(sequences: Mapping[int, SequenceUsage], *, n: int) -> Usage:
    """Return the usage of a request whose prompts have n sequences each.

    A prompt is counted once, however many answers it gets. Of its tokens those
    were cached that no sequence had to compute.
    """
    prompts = [
        [sequences[index] for index in range(first, first + n)]
        for first in range(0, len(sequences), n)
    ]
    prompt_tokens = sum(prompt[0].prompt_tokens for prompt in prompts)
    completion_tokens = sum(each.completion_tokens for each in sequences.values())
    cached = sum(min(each.cached_tokens for each in prompt) for prompt in prompts)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def chat_completion(
    head: Head, answers: Sequence[Answer], usage: Usage
) -> ChatCompletion:
    """Return a whole chat answer."""
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": head.system_fingerprint,
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": answer.text,
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage,
    }


def chat_chunk(head: Head, choices: list[ChatChunkChoice]) -> ChatChunk:
    """Return one event of a chat stream."""
    return {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": head.system_fingerprint,
        "choices": choices,
    }


def chat_delta(
    index: int, delta: Delta, finish_reason: FinishReason | None = None
) -> ChatChunkChoice:
    """Return what a chunk adds to an answer."""
    return {
        "index": index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": finish_reason,
    }


def text_completion(head: Head, choices: list[TextChoice]) -> TextCompletion:
    """Return a text answer, or one event of its stream."""
    return {
        "id": head.id,
        "object": "text_completion",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": head.system_fingerprint,
        "choices": choices,
    }


def text_choice(
    index: int, text: str, finish_reason: FinishReason | None = None
) -> TextChoice:
    """Return one text answer, or what an event adds to it."""
    return {
        "index": index,
        "text": text,
        "logprobs": None,
        "finish_reason": finish_reason,
    }
