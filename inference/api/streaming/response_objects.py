"""The objects of OpenAI's answers, whole and in chunks; also used for /openapi.json."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

TextFinishReason = Literal["stop", "length"]
ChatFinishReason = Literal["stop", "length", "tool_calls", "function_call"]
#: The engine uses OpenAI's finish reasons.
REASONS: dict[str, TextFinishReason] = {"stop": "stop", "length": "length"}


class TopLogprob(TypedDict):
    """One of the most likely tokens; ``bytes`` is its UTF-8, perhaps incomplete."""

    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(TypedDict):
    """One token of a chat answer."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(TypedDict):
    """The tokens of a chat answer."""

    content: list[ContentLogprob]
    refusal: None


class TextLogprobs(TypedDict):
    """The tokens of a text answer; ``text_offset`` is their start in characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class PromptTokensDetails(TypedDict):
    """How many of the prompt's tokens were cached, and how many are sounds, if any."""

    cached_tokens: int
    audio_tokens: NotRequired[int]


class CompletionTokensDetails(TypedDict, total=False):
    """How many of the answer's tokens were reasoning, and how many were drafted."""

    reasoning_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int
    accepted_draft_tokens: int
    rejected_draft_tokens: int


class CompletionUsage(TypedDict):
    """The engine's own count of a request's tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: NotRequired[CompletionTokensDetails]


class FunctionCall(TypedDict):
    """The called function; ``arguments`` is JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One call of a tool."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class CustomInput(TypedDict):
    """The called custom tool; ``input`` is a text."""

    name: str
    input: str


class CustomCall(TypedDict):
    """One call of a custom tool."""

    id: str
    type: Literal["custom"]
    custom: CustomInput


class ChatAnswer(TypedDict):
    """The message of one choice; ``content`` is null if it has only calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall | CustomCall]]
    function_call: NotRequired[FunctionCall]


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
    usage: CompletionUsage


class FunctionDelta(TypedDict, total=False):
    """What a chunk adds to a function call: first the name, then the arguments."""

    name: str
    arguments: str


class CustomInputDelta(TypedDict, total=False):
    """What a chunk adds to the called custom tool."""

    name: str
    input: str


class ToolCallDelta(TypedDict):
    """What a chunk adds to a tool call; ``index`` counts the answer's calls from 0."""

    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function", "custom"]]
    function: NotRequired[FunctionDelta]
    custom: NotRequired[CustomInputDelta]


class MessageDelta(TypedDict, total=False):
    """What a chunk adds to a message."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str
    tool_calls: list[ToolCallDelta]
    function_call: FunctionDelta


class ChatChunkChoice(TypedDict):
    """What a chunk adds to one of the n answers."""

    index: int
    delta: MessageDelta
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
    usage: NotRequired[CompletionUsage | None]


class TextChoice(TypedDict):
    """One answer, or in a stream the text that is added to it."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: TextFinishReason | None


class TextCompletion(TypedDict):
    """The answer of POST /v1/completions, and each event of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: NotRequired[CompletionUsage | None]
