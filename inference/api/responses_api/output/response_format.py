"""The answer of POST /v1/responses, whole and as a stream of events."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.responses_api.output.writer import OutputWriter
from inference.api.streaming import sse
from inference.api.streaming.formats import AnswerFormat
from inference.output_parsers import ContentDelta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inference.api.responses_api.body.called_tools import CalledTool
    from inference.api.responses_api.output.items import Event
    from inference.api.responses_api.output.mcp_items import McpCallItem
    from inference.api.responses_api.output.outcomes import McpOutcome
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.api.streaming.payloads import Answer
    from inference.api.streaming.response_objects import (
        ChatFinishReason,
        CompletionUsage,
    )
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta

#: OpenAI's codes of the errors of a response, by the status of an error.
_ERROR_CODES = {429: "rate_limit_exceeded"}


def new_response_id() -> str:
    """Return the id of a new response."""
    return f"resp_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """How a response is written.

    ``about`` are its members that are known before it begins. ``tools`` are what the
    names of functions stand for, ``seal`` encrypts reasoning that the client keeps.
    ``lists`` are the tools that MCP servers were asked for, with their labels.
    """

    id: str
    about: Mapping[str, Any]
    tools: Mapping[str, CalledTool]
    as_summary: bool = False
    seal: Callable[[str], str] | None = None
    with_logprobs: bool = False
    lists: Sequence[tuple[str, Sequence[Any]]] = ()


class ResponseFormat(AnswerFormat):
    """Responses: one answer, as items."""

    prompt_param = "input"

    def __init__(
        self, settings: ResponseSettings, parser_settings: ParserSettings | None
    ) -> None:
        self.with_logprobs = settings.with_logprobs
        self.parser_settings = parser_settings
        self._settings = settings
        self._writer = OutputWriter(
            settings.id.removeprefix("resp_"),
            settings.tools,
            as_summary=settings.as_summary,
            seal=settings.seal,
        )
        self._sequence = 0
        self._is_begun = False
        self._is_cut = False
        self._aside: list[bytes] = []
        #: The response, once it is complete.
        self.final: dict[str, Any] = {}

    def queued(self) -> dict[str, Any]:
        """Return the response that is yet to be written."""
        return self._response("queued")

    def whole(
        self, answers: Sequence[Answer], usage: CompletionUsage
    ) -> dict[str, Any]:
        (answer,) = answers
        self._begin()
        parts = answer.parts
        if parts is None:
            parts = (ContentDelta(answer.text),) if answer.text else ()
        self._writer.scored(answer.logprobs or ())
        for part in parts:
            _drain(self._writer.take(part))
        self._close(answer.finish_reason)
        self.final = self._final(usage)
        return self.final

    def start(self, index: int) -> bytes:
        return self._begin()

    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        return self.parts(index, [ContentDelta(text)] if text else [], logprobs)

    def parts(
        self, index: int, parts: Sequence[Delta], logprobs: Sequence[TokenLogprobs]
    ) -> bytes:
        if self.with_logprobs:
            self._writer.scored(logprobs)
        return b"".join(
            self._encoded(event) for part in parts for event in self._writer.take(part)
        )

    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        return b"".join(map(self._encoded, self._close(reason)))

    def end(self, usage: CompletionUsage) -> bytes:
        aside = self.aside()
        response = self.final = self._final(usage)
        return aside + self._of_response(response["status"], response)

    def aside(self) -> bytes:
        events, self._aside = b"".join(self._aside), []
        return events

    # Calls of MCP servers ---------------------------------------------------------

    @property
    def number(self) -> int:
        """How many items the output has."""
        return len(self.output())

    def output(self) -> list[dict[str, Any]]:
        """Return the items of the output as they are now."""
        return self._writer.output()

    def approved(self, tool: CalledTool, arguments: str, approval_id: str) -> None:
        """Add a call that has the client's leave."""
        self._aside.append(self._begin())
        self._put_aside(self._writer.approved(tool, arguments, approval_id))

    def waiting(self) -> list[McpCallItem]:
        """Return the calls that are to be made now."""
        return self._writer.waiting()

    def made(self, call: McpCallItem, outcome: McpOutcome) -> None:
        """Take what came of a call."""
        self._put_aside(call.made(outcome))

    def goes_on(self, since: int) -> bool:
        """Whether the model answers again, after the calls from this item on."""
        return not self._is_cut and not self._writer.asks_client(since)

    def cut(self) -> None:
        """Note that nothing may be written any more: the response is incomplete."""
        self._is_cut = True

    def _put_aside(self, events: Iterable[Event]) -> None:
        self._aside += map(self._encoded, events)

    def failed(self, status: int, body: Mapping[str, Any]) -> bytes:
        begun = self.aside() + self._begin()
        events = b"".join(map(self._encoded, self._writer.give_up()))
        default = "invalid_prompt" if 400 <= status < 500 else "server_error"
        error = {
            "code": _ERROR_CODES.get(status, default),
            "message": body["error"]["message"],
        }
        response = self._response("failed", error=error)
        return begun + events + self._of_response("failed", response)

    def _begin(self) -> bytes:
        """Return the first events, once."""
        if self._is_begun:
            return b""
        self._is_begun = True
        response = self._response("in_progress")
        begun = [
            self._of_response(kind, response) for kind in ("created", "in_progress")
        ]
        for label, tools in self._settings.lists:
            begun += map(self._encoded, self._writer.lists(label, tools))
        return b"".join(begun)

    def _close(self, reason: ChatFinishReason) -> list[Event]:
        self._is_cut = reason == "length"
        status = "incomplete" if self._is_cut else "completed"
        return list(self._writer.end(status))

    def _final(self, usage: CompletionUsage) -> dict[str, Any]:
        details = usage.get("completion_tokens_details", {})
        counted = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {
                "cached_tokens": usage["prompt_tokens_details"]["cached_tokens"],
                "cache_write_tokens": 0,
            },
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {
                "reasoning_tokens": details.get("reasoning_tokens", 0)
            },
            "total_tokens": usage["total_tokens"],
        }
        if self._is_cut:
            return self._response(
                "incomplete",
                incomplete_details={"reason": "max_output_tokens"},
                usage=counted,
            )
        return self._response("completed", completed_at=int(time.time()), usage=counted)

    def _response(self, status: str, **members: Any) -> dict[str, Any]:
        return {
            **self._settings.about,
            "id": self._settings.id,
            "status": status,
            **members,
            "output": self._writer.output(),
        }

    def _of_response(self, kind: str, response: dict[str, Any]) -> bytes:
        return self._encoded({"type": f"response.{kind}", "response": response})

    def _encoded(self, event: Event) -> bytes:
        numbered = {
            "type": event["type"],
            "sequence_number": self._sequence,
            **event,
        }
        self._sequence += 1
        return sse.named(numbered)


def _drain(events: Iterable[Event]) -> None:
    for _ in events:
        pass
