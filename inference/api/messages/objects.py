"""The objects of Anthropic's answers, whole and in events; also for /openapi.json."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "model_context_window_exceeded",
]


class TextContent(TypedDict):
    """A text of an answer."""

    type: Literal["text"]
    text: str


class ThinkingContent(TypedDict):
    """The model's thoughts; the signature shows that they are this server's."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseContent(TypedDict):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OutputTokensDetails(TypedDict):
    """How many of the answer's tokens were thoughts."""

    thinking_tokens: int


class MessageUsage(TypedDict):
    """The engine's own count of a request's tokens.

    All tokens of the prompt are input_tokens and cache_read_input_tokens together.
    """

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: NotRequired[OutputTokensDetails]
    service_tier: NotRequired[Literal["standard"]]


class AppliedEdits(TypedDict):
    """What context_management has cleared."""

    applied_edits: list[dict[str, Any]]


class MessageAnswer(TypedDict):
    """The answer of POST /v1/messages without stream."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextContent | ThinkingContent | ToolUseContent]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    context_management: NotRequired[AppliedEdits | None]


class OriginalTokens(TypedDict):
    """The tokens of the prompt before context_management has cleared anything."""

    original_input_tokens: int


class TokenCount(TypedDict):
    """The answer of POST /v1/messages/count_tokens."""

    input_tokens: int
    context_management: NotRequired[OriginalTokens]
