"""Answers from a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from llm_manager.command_line.remote.api_client import ApiClient

_PATH = "/v1/chat/completions"


class ServerBackend:
    """Chat completions over HTTP."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a whole answer. Raises CommandFailed."""
        answer: dict[str, Any] = self._client.post(_PATH, body)
        return answer

    def stream(
        self, body: dict[str, Any]
    ) -> AbstractContextManager[Iterator[dict[str, Any]]]:
        """Return the chunks of an answer. Raises CommandFailed."""
        return self._client.stream(_PATH, body)
