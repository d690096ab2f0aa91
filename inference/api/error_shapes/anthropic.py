"""Errors in Anthropic's shape: types and statuses that its clients know.

Source: Anthropic's API reference, "Errors", and its Python client's types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from inference.api.responses import json_response
from llm_manager.lib.request_id import request_id

if TYPE_CHECKING:
    from django.http import HttpResponse

    from inference.api.error_shapes.failure import Failure

VERSION_HEADER = "anthropic-version"
#: The name of an answer's id in Anthropic's API.
REQUEST_ID_HEADER = "request-id"

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
    "api_error",
]
_TYPES: dict[int, ErrorType] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
#: Anthropic's statuses where they differ from the other API's.
_STATUSES = {408: 504, 503: 529}


class AnthropicErrorDetail(TypedDict):
    """What went wrong."""

    type: ErrorType
    message: str


class AnthropicError(TypedDict):
    """The body of every error of the routes below /v1/messages."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str


def error_body(status: int, message: str) -> AnthropicError:
    """Return the body of an error; ``status`` is the other API's."""
    kind = _TYPES.get(status)
    if kind is None:
        kind = "invalid_request_error" if status < 500 else "api_error"
    detail: AnthropicErrorDetail = {"type": kind, "message": message}
    return {"type": "error", "error": detail, "request_id": request_id.get()}


def error_response(failure: Failure) -> HttpResponse:
    """Return the answer."""
    status = _STATUSES.get(failure.status, failure.status)
    body = error_body(failure.status, failure.message)
    return json_response(body, status=status, headers=failure.headers)
