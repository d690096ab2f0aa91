"""Encodes answers as Ollama's objects, whole and as lines of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from inference.api.error_shapes.ollama import error_body
from inference.api.streaming.answer_assembler import merged
from inference.api.streaming.formats import AnswerFormat
from inference.api.streaming.logprobs import chat_logprobs
from inference.api.streaming.payloads import object_of
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inference.api.accounting.durations import Durations
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.api.streaming.payloads import Answer
    from inference.api.streaming.response_objects import (
        ChatFinishReason,
        CompletionUsage,
    )
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta

Route = Literal["chat", "generate"]


@dataclass(frozen=True, slots=True)
class OllamaHeader:
    """What all objects of an answer have in common, and how long it takes."""

    route: Route
    model: str
    durations: Callable[[], Durations]


def now_text() -> str:
    """Return the time as Ollama writes it."""
    return time_text(datetime.now(UTC))


def time_text(time: datetime) -> str:
    """Return a time as Ollama writes it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def answer_object(
    route: Route, model: str, written: Mapping[str, Any], *, done: bool
) -> dict[str, Any]:
    """Return an answer or a part of it; ``written`` has its content, thinking, calls.

    What /api/generate answers has a ``response`` in the place of the message.
    """
    head: dict[str, Any] = {"model": model, "created_at": now_text()}
    if route == "chat":
        head["message"] = {"role": "assistant", "content": "", **written}
    else:
        head |= {**written, "response": written.get("content", "")}
        head.pop("content", None)
    return {**head, "done": done}


class OllamaFormat(AnswerFormat):
    """The format of one answer."""

    content_type: ClassVar[str] = "application/x-ndjson"

    def __init__(
        self,
        header: OllamaHeader,
        parser_settings: ParserSettings | None,
        *,
        with_logprobs: bool,
    ) -> None:
        self._header = header
        self.parser_settings = parser_settings
        self.with_logprobs = with_logprobs
        self.prompt_param = "messages" if header.route == "chat" else "prompt"
        # An empty part: lines of JSON know no comment.
        self.keep_alive = self.first_sign = self._line({})
        self._reason: ChatFinishReason = "stop"
        # The call that is being written: it is sent whole.
        self._call: ToolCallBegin | None = None
        self._arguments = ""

    def whole(
        self, answers: Sequence[Answer], usage: CompletionUsage
    ) -> dict[str, Any]:
        (answer,) = answers
        self._reason = answer.finish_reason
        written: dict[str, Any] = {}
        if answer.parts is None:
            written["content"] = answer.text
        else:
            for part in self._written(answer.parts):
                for name, value in part.items():
                    written[name] = written[name] + value if name in written else value
            written |= _joined(written, self._ended_call())
        scored = self._scored(answer.logprobs or ())
        return {**self._object(written, done=True), **scored, **self._counts(usage)}

    def start(self, index: int) -> bytes:
        return b""

    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        return self._line({"content": text}, logprobs)

    def parts(
        self, index: int, parts: Sequence[Delta], logprobs: Sequence[TokenLogprobs]
    ) -> bytes:
        lines = []
        for written in self._written(parts) or ([{}] if logprobs else []):
            lines.append(self._line(written, logprobs))
            logprobs = ()
        return b"".join(lines)

    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        self._reason = reason
        ended = self._ended_call()
        return self._line(ended) if ended else b""

    def end(self, usage: CompletionUsage) -> bytes:
        return _encoded({**self._object({}, done=True), **self._counts(usage)})

    def failed(self, status: int, body: Mapping[str, Any]) -> bytes:
        return _encoded(error_body(body["error"]["message"]))

    def _written(self, parts: Sequence[Delta]) -> list[dict[str, Any]]:
        """Return what parts of an answer add to it, one member each."""
        written: list[dict[str, Any]] = []
        for part in merged(parts):
            match part:
                case ToolCallArguments(_, fragment):
                    self._arguments += fragment
                    continue
                case ToolCallBegin():
                    added = self._ended_call()
                    self._call, self._arguments = part, ""
                case ContentDelta(text):
                    written += filter(None, [self._ended_call()])
                    added = {"content": text}
                case ReasoningDelta(text):
                    written += filter(None, [self._ended_call()])
                    added = {"thinking": text}
            if added:
                written.append(added)
        return written

    def _ended_call(self) -> dict[str, Any]:
        """Return the call that was being written, if there is one, as a member."""
        call, self._call = self._call, None
        if call is None:
            return {}
        function = {
            "index": call.index,
            "name": call.name,
            "arguments": object_of(self._arguments),
        }
        return {"tool_calls": [{"id": call.id, "function": function}]}

    def _object(self, written: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        return answer_object(self._header.route, self._header.model, written, done=done)

    def _line(
        self, written: Mapping[str, Any], logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        return _encoded({**self._object(written, done=False), **self._scored(logprobs)})

    def _scored(self, logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
        if not self.with_logprobs or not logprobs:
            return {}
        return {"logprobs": chat_logprobs(logprobs)["content"]}

    def _counts(self, usage: CompletionUsage) -> dict[str, Any]:
        took = self._header.durations()
        return {
            # A call is an end like any other.
            "done_reason": "length" if self._reason == "length" else "stop",
            "total_duration": took.total_ns,
            "load_duration": took.waiting_ns,
            "prompt_eval_count": usage["prompt_tokens"],
            "prompt_eval_duration": took.prompt_ns,
            "eval_count": usage["completion_tokens"],
            "eval_duration": took.answer_ns,
        }


def _joined(written: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of ``more``, after what is written of them."""
    return {name: [*written.get(name, ()), *calls] for name, calls in more.items()}


def _encoded(line: Mapping[str, Any]) -> bytes:
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n".encode("utf-8", "replace")
