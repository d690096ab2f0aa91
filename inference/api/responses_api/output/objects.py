"""The objects of answers, for /openapi.json."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class InputDetails(TypedDict):
    """How many tokens of the input were cached."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(TypedDict):
    """How many tokens of the output were reasoning."""

    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """The engine's own count of a response's tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseError(TypedDict):
    """Why a response has failed."""

    code: str
    message: str


class IncompleteDetails(TypedDict):
    """Why a response is incomplete."""

    reason: str


class Response(TypedDict):
    """The answer of POST /v1/responses; the members of the request come with it."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal[
        "completed", "failed", "in_progress", "cancelled", "queued", "incomplete"
    ]
    completed_at: int | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    metadata: NotRequired[dict[str, str]]


class InputTokens(TypedDict):
    """The answer of POST /v1/responses/input_tokens."""

    object: Literal["response.input_tokens"]
    input_tokens: int


ANSWERS: dict[str, type] = {"InputTokens": InputTokens, "Response": Response}
