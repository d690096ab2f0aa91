"""Which API's shape an error has, by the path and the headers of its request.

A view knows it of itself. What fails before a route is found, or beside the views, asks
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.error_shapes import anthropic, ollama
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from collections.abc import Container

    from django.http import HttpRequest, HttpResponse
    from rest_framework.request import Request

    from inference.api.error_shapes.failure import Failure

_MESSAGES = "messages"
_OLLAMA = "api"


def is_anthropics(request: HttpRequest | Request) -> bool:
    """Return whether the client speaks Anthropic's API, by its header."""
    return anthropic.VERSION_HEADER in request.headers


def shaped_response(request: HttpRequest | Request, failure: Failure) -> HttpResponse:
    """Return the answer to a failure in the shape of the client's API."""
    return response_in_shape(failure, request.path, request.headers)


def response_in_shape(
    failure: Failure, path: str, headers: Container[str]
) -> HttpResponse:
    """Return the answer to the failure of a request with this path and these headers.

    Anthropic's shape is for the routes of messages, and for its clients on all others;
    Ollama's for the routes below /api, if they are on: not below /api/v1, where clients
    of OpenAI's API look that have a wrong address. Names of ``headers`` are in lower
    case.
    """
    words = [word for word in path.split("/") if word][:2]
    first = words[1] if words[:1] == ["v1"] and len(words) > 1 else (words or [""])[0]
    if first == _MESSAGES or anthropic.VERSION_HEADER in headers:
        return anthropic.error_response(failure)
    is_ollamas = words[:1] == [_OLLAMA] and words[1:] != ["v1"]
    if is_ollamas and config().api.ollama:
        return ollama.error_response(failure)
    return failure.response()
