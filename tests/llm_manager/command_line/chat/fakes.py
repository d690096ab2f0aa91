"""A backend whose answers are made up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_manager.command_line.exit_status import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def chunk(finish_reason: str | None = None, **delta: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"choices": [choice]}


class FakeBackend:
    """Answers with its chunks, in turn; an exception among them is raised."""

    def __init__(self, *answers: list[dict[str, Any] | BaseException]) -> None:
        self._answers = list(answers)
        self.requests: list[dict[str, Any]] = []
        #: Streams that were left, at their end or before it.
        self.closed = 0

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body)
        return {"object": "chat.completion"}

    @contextmanager
    def stream(self, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        self.requests.append(body)
        try:
            yield self._chunks(self._answers.pop(0))
        finally:
            self.closed += 1

    def _chunks(
        self, given: list[dict[str, Any] | BaseException]
    ) -> Iterator[dict[str, Any]]:
        for each in given:
            if isinstance(each, BaseException):
                raise each
            yield each
        yield {"choices": [], "usage": USAGE}


def says(
    *pieces: str, finish_reason: str = "stop"
) -> list[dict[str, Any] | BaseException]:
    """Return an answer of some pieces."""
    return [*(chunk(content=each) for each in pieces), chunk(finish_reason)]


def fails(sentence: str) -> list[dict[str, Any] | BaseException]:
    return [CommandFailed(sentence)]
