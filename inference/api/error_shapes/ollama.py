"""Errors in the shape of Ollama's API: one text.

Source: Ollama's docs/api.md, "Errors", and its client's ``StatusError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from inference.api.responses import json_response

if TYPE_CHECKING:
    from django.http import HttpResponse

    from inference.api.error_shapes.failure import Failure


class OllamaError(TypedDict):
    """The body of every error of the routes below /api."""

    error: str


def error_body(message: str) -> OllamaError:
    """Return the body of an error."""
    return {"error": message}


def error_response(failure: Failure) -> HttpResponse:
    """Return the answer."""
    body = error_body(failure.message)
    return json_response(body, status=failure.status, headers=failure.headers)
