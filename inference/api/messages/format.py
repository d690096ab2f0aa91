"""Encodes answers as Anthropic's messages, whole and as events.

A stream is message_start, ping, then for each block content_block_start,
content_block_delta and content_block_stop, then message_delta and message_stop.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.api.error_shapes.anthropic import error_body
from inference.api.streaming import sse
from inference.api.streaming.answer_assembler import merged
from inference.api.streaming.formats import AnswerFormat
from inference.api.streaming.payloads import object_of
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.messages.objects import MessageAnswer, MessageUsage, StopReason
    from inference.api.messages.signature import ThinkingSigner
    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.api.streaming.payloads import Answer
    from inference.api.streaming.response_objects import (
        ChatFinishReason,
        CompletionUsage,
    )
    from inference.api.streaming.usage import AnswerUsage
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta

_NO_TEMPLATE = sse.Template(sse.HOLE)
_PING = sse.named({"type": "ping"})
_STOP = sse.named({"type": "message_stop"})


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """What an answer says of itself, and how much of it there may be.

    ``max_tokens`` is what the request allows. ``shows_thinking``: the client wants to
    read the thoughts. ``applied_edits``: None if the request has no edits.
    """

    model: str
    max_tokens: int | None
    signer: ThinkingSigner
    shows_thinking: bool = True
    applied_edits: list[dict[str, Any]] | None = None


class MessageFormat(AnswerFormat):
    """The format of one answer."""

    prompt_param = "messages"
    keep_alive = _PING
    with_logprobs = False

    def __init__(
        self, header: MessageHeader, parser_settings: ParserSettings | None
    ) -> None:
        self._header = header
        self._id = f"msg_{uuid.uuid4().hex}"
        self.parser_settings = parser_settings
        self._is_started = False
        self._reason: ChatFinishReason = "stop"
        self._stopped_by = ""
        # The open block of a stream: its number, its type, its thoughts so far, white
        # space that may be all that it gets, and the event of a text in it.
        self._number = -1
        self._type = ""
        self._thoughts: list[str] = []
        self._blank = ""
        self._text = _NO_TEMPLATE

    # Whole ----------------------------------------------------------------------

    def whole(self, answers: Sequence[Answer], usage: CompletionUsage) -> MessageAnswer:
        (answer,) = answers
        self._reason, self._stopped_by = answer.finish_reason, answer.stopped_by
        if answer.parts is None:
            content = _text_blocks(answer.text)
        else:
            content = self._blocks(answer.parts)
        message = self._message(self._usage(usage))
        message["content"] = content
        message["stop_reason"] = self._stop_reason(usage)
        message["stop_sequence"] = self._stop_sequence
        if self._header.applied_edits is not None:
            message["context_management"] = {
                "applied_edits": self._header.applied_edits
            }
        return message

    def _blocks(self, parts: Sequence[Delta]) -> list[Any]:
        blocks: list[Any] = []
        arguments: dict[int, dict[str, Any]] = {}
        for part in merged(parts):
            match part:
                case ContentDelta(text):
                    blocks += _text_blocks(text)
                case ReasoningDelta(text):
                    is_shown = self._header.shows_thinking
                    signature = self._header.signer.sign(text, is_shown=is_shown)
                    thinking = text if is_shown else ""
                    blocks.append(_thinking(thinking, signature))
                case ToolCallBegin(index, id_, name):
                    block = arguments[index] = _call(id_, name)
                    blocks.append(block)
                case ToolCallArguments(index, fragment):
                    arguments[index]["input"] += fragment
        for block in arguments.values():
            block["input"] = object_of(block["input"])
        return blocks

    # Streamed -------------------------------------------------------------------

    def start(self, index: int) -> bytes:
        return b""

    def begin(self, index: int, usage: AnswerUsage) -> bytes:
        if self._is_started:
            # A worker has taken over the answer of another one.
            return b""
        self._is_started = True
        counts = _message_usage(usage.prompt_tokens, usage.cached_tokens, 0)
        message = self._message(counts)
        return sse.named({"type": "message_start", "message": message}) + _PING

    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        return self._add_text(text)

    def parts(
        self, index: int, parts: Sequence[Delta], logprobs: Sequence[TokenLogprobs]
    ) -> bytes:
        return b"".join(map(self._part, parts))

    def stopped(self, index: int, text: str) -> None:
        self._stopped_by = text

    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        self._reason = reason
        return self._close()

    def end(self, usage: CompletionUsage) -> bytes:
        delta: dict[str, Any] = {
            "type": "message_delta",
            "delta": {
                "stop_reason": self._stop_reason(usage),
                "stop_sequence": self._stop_sequence,
            },
            "usage": self._usage(usage),
        }
        if self._header.applied_edits is not None:
            edits = self._header.applied_edits
            delta["context_management"] = {"applied_edits": edits}
        return sse.named(delta) + _STOP

    def failed(self, status: int, body: Mapping[str, Any]) -> bytes:
        return sse.named(error_body(status, body["error"]["message"]))

    def _part(self, part: Delta) -> bytes:
        match part:
            case ContentDelta(text):
                return self._add_text(text)
            case ReasoningDelta(text):
                return self._add_thoughts(text)
            case ToolCallBegin(_, id_, name):
                return self._close() + self._open({**_call(id_, name), "input": {}})
            case ToolCallArguments(_, fragment):
                delta = {"type": "input_json_delta", "partial_json": fragment}
                return self._delta(delta)

    def _add_text(self, text: str) -> bytes:
        before = b""
        if self._type != "text":
            before = self._close() if self._type else b""
            # White space between thoughts and a call is no block of its own.
            text, self._blank = self._blank + text, ""
            if not text.strip():
                self._blank = text
                return before
            before += self._open({"type": "text", "text": ""})
            event = self._delta_event({"type": "text_delta", "text": sse.HOLE})
            self._text = sse.Template(event, sse.named)
        return before + self._text.fill(text)

    def _add_thoughts(self, text: str) -> bytes:
        before = b""
        if self._type != "thinking":
            before = self._close()
            before += self._open(_thinking("", ""))
        self._thoughts.append(text)
        if not self._header.shows_thinking:
            return before
        return before + self._delta({"type": "thinking_delta", "thinking": text})

    def _open(self, block: dict[str, Any]) -> bytes:
        self._number += 1
        self._type = block["type"]
        event = {"type": "content_block_start", "index": self._number}
        return sse.named({**event, "content_block": block})

    def _close(self) -> bytes:
        """Return the events that end the open block, if one is."""
        kind, self._type, self._blank = self._type, "", ""
        if not kind:
            return b""
        before = b""
        if kind == "thinking":
            thinking = "".join(self._thoughts)
            self._thoughts.clear()
            is_shown = self._header.shows_thinking
            signature = self._header.signer.sign(thinking, is_shown=is_shown)
            before = self._delta({"type": "signature_delta", "signature": signature})
        stop = {"type": "content_block_stop", "index": self._number}
        return before + sse.named(stop)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return sse.named(self._delta_event(delta))

    def _delta_event(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._number, "delta": delta}

    # Both -----------------------------------------------------------------------

    def _message(self, usage: MessageUsage) -> MessageAnswer:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._header.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }

    def _usage(self, usage: CompletionUsage) -> MessageUsage:
        counts = _message_usage(
            usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"],
            usage["completion_tokens"],
        )
        details = usage.get("completion_tokens_details", {})
        if "reasoning_tokens" in details:
            thinking_tokens = details["reasoning_tokens"]
            counts["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
        return counts

    @property
    def _stop_sequence(self) -> str | None:
        return self._stopped_by or None if self._reason == "stop" else None

    def _stop_reason(self, usage: CompletionUsage) -> StopReason:
        match self._reason:
            case "tool_calls" | "function_call":
                return "tool_use"
            case "stop":
                return "stop_sequence" if self._stopped_by else "end_turn"
        limit = self._header.max_tokens
        is_within = limit is None or usage["completion_tokens"] < limit
        return "model_context_window_exceeded" if is_within else "max_tokens"


def _message_usage(prompt: int, cached: int, output: int) -> MessageUsage:
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _text_blocks(text: str) -> list[Any]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _thinking(thinking: str, signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thinking, "signature": signature}


def _call(id_: str, name: str) -> dict[str, Any]:
    """Return a tool_use block; its input is JSON text so far."""
    return {"type": "tool_use", "id": id_, "name": name, "input": ""}
