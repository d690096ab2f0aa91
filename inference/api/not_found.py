"""Answers 404 in JSON for paths without a route, and names the right one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from rest_framework.exceptions import NotFound

from inference.api.error_shapes.choice import shaped_response
from inference.api.view import OpenView
from llm_manager.lib.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpResponse
    from rest_framework.request import Request

    from inference.api.error_shapes.failure import Failure

#: What serves the purpose of other APIs' routes: Ollama's, OpenAI's oldest.
_INSTEAD = {
    "chat": "chat/completions",
    "generate": "completions",
    "completion": "completions",
    "embed": "embeddings",
    "embedding": "embeddings",
    "tags": "models",
}

_WRITE = (
    *("chat/completions", "completions", "embeddings", "rerank", "responses"),
    *("messages", "tokenize"),
)
#: What of OpenAI's API no model here does, by the first word of its routes.
_NOT_SERVED = {
    "audio": "Nothing here speaks or transcribes; what models hear is a part of type "
    "input_audio in a chat.",
    "images": "No model here draws.",
    "moderations": "No model here moderates.",
}


class UnknownRouteView(OpenView):
    """Any method on any path; not in /openapi.json.

    ``routes`` are the API's, without /v1.
    """

    schema = None
    routes: Sequence[str] = ()

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer in the shape of the client's API."""
        return shaped_response(self.request, failure)

    def get_handler(self, method: str) -> Callable[..., Any]:
        """Return the same handler for every method."""
        return self.get

    async def get(self, request: Request, prepared: None) -> NoReturn:
        """Raise NotFound."""
        right = right_path(request.path, self.routes)
        hint = f"Use {quote(right)}." if right else "The API's routes are under /v1."
        if kind := _not_served(request.path):
            served = ", ".join(f"/v1/{route}" for route in _WRITE)
            hint = f"{_NOT_SERVED[kind]} What writes and reads text: {served}."
        raise NotFound(
            f"There is no route {request.method} {quote(request.path)}. {hint} "
            "GET /openapi.json describes all.",
            "unknown_url",
        )


def _not_served(path: str) -> str | None:
    """Return the word of a path that says what is not served, if there is one."""
    words = [word for word in path.split("/") if word][:2]
    return next((word for word in words if word in _NOT_SERVED), None)


def right_path(path: str, routes: Sequence[str]) -> str | None:
    """Return the path that was probably meant: another beginning, or a misspelt end."""
    words = [word for word in path.split("/") if word]
    for start in range(len(words)):
        rest = "/".join(words[start:])
        if rest in routes or rest.startswith("models/"):
            return f"/v1/{rest}"
    if not words:
        return None
    rest = "/".join(words[-2:])
    found = get_close_matches(rest, routes, n=1, cutoff=0.8)
    if not found and words[-1] in _INSTEAD:
        found = [_INSTEAD[words[-1]]]
    found = found or get_close_matches(words[-1], routes, n=1, cutoff=0.8)
    return f"/v1/{found[0]}" if found else None
