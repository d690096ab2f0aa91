"""Reads from an upstream's answers what has to be known of them: usage, ends, errors.

One reader for each API. Whatever an upstream sends, reading never raises: what is not
as its API says counts as not there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from inference.prompts.token_estimate import estimate_tokens
from inference.upstreams.renaming import renamed

#: Characters of answers that are kept to estimate their tokens; then it counts events.
_MAX_TEXT = 1_000_000
#: Members of a chat's or a completion's choice that are text of the answer.
_TEXTS = ("content", "reasoning_content", "reasoning", "text", "refusal")


@dataclass(slots=True)
class AnswerReading:
    """What an answer says so far.

    ``prompt`` and ``completion`` are the upstream's counts, None where it gave none;
    ``events`` how many had text; ``is_complete`` whether its end has come; ``error``
    is what the upstream reported as one, None if it did not.
    """

    prompt: int | None = None
    cached: int = 0
    audio: int = 0
    completion: int | None = None
    reasoning: int = 0
    finish_reason: str = ""
    events: int = 0
    is_complete: bool = False
    has_end_mark: bool = False
    error: Any = None
    #: Of the tokens of a whole answer, which was read elsewhere.
    estimate: int | None = None
    _texts: list[str] = field(default_factory=list)
    _length: int = 0

    def wrote(self, *texts: Any) -> bool:
        """Note texts of the answer; return whether there was one."""
        written = [text for text in texts if text and isinstance(text, str)]
        if not written:
            return False
        self.events += 1
        if self._length < _MAX_TEXT:
            self._texts += written
            self._length += sum(map(len, written))
        return True

    def said(self) -> dict[str, Any]:
        """Return what a whole answer says, with an estimate for its texts."""
        names = ("prompt", "cached", "completion", "reasoning", "finish_reason")
        return {
            **{name: getattr(self, name) for name in (*names, "events", "error")},
            "is_complete": True,
            "estimate": self.estimated_completion(),
        }

    def take(self, said: dict[str, Any]) -> None:
        """Note what ``said`` returned elsewhere."""
        for name, value in said.items():
            setattr(self, name, value)

    def estimated_completion(self) -> int:
        """Return an estimate of the tokens that were written."""
        if self.estimate is not None:
            return self.estimate
        if self._length >= _MAX_TEXT:
            return max(self.events, estimate_tokens("".join(self._texts)))
        return estimate_tokens("".join(self._texts))


class Reader:
    """Reads what an API's answers have in common."""

    #: What ends a stream, as data of an event.
    end_mark = b"[DONE]"

    def __init__(self) -> None:
        self.reading = AnswerReading()

    def whole(self, answer: dict[str, Any]) -> None:
        """Read an answer that did not stream."""
        self.reading.error = answer.get("error") or None
        self._usage(answer.get("usage"))
        self.reading.is_complete = True
        self._whole(answer)

    def event(self, value: dict[str, Any]) -> bool:
        """Read an event; return whether it brought text of the answer."""
        error = value.get("error")
        if error:
            self.reading.error = error
            return False
        return self._event(value)

    def is_usage_only(self, value: dict[str, Any]) -> bool:
        """Whether an event has nothing but the usage that we have asked for."""
        return False

    def _whole(self, answer: dict[str, Any]) -> None:
        """Read the texts of an answer."""

    def _event(self, value: dict[str, Any]) -> bool:
        return False

    def _usage(self, usage: Any) -> None:
        """Read OpenAI's older names of counts, or the newer ones."""
        if not isinstance(usage, dict):
            return
        reading = self.reading
        for names in (
            ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
            ("input_tokens", "output_tokens", "input_tokens_details"),
        ):
            prompt, completion, details = (usage.get(name) for name in names)
            if _is_count(prompt):
                reading.prompt = prompt
            if _is_count(completion):
                reading.completion = completion
            if not isinstance(details, dict):
                continue
            if _is_count(details.get("cached_tokens")):
                reading.cached = details["cached_tokens"]
            if _is_count(details.get("audio_tokens")):
                reading.audio = details["audio_tokens"]
        for name in ("completion_tokens_details", "output_tokens_details"):
            details = usage.get(name)
            if isinstance(details, dict) and _is_count(details.get("reasoning_tokens")):
                reading.reasoning = details["reasoning_tokens"]
        if reading.prompt is None and _is_count(usage.get("total_tokens")):
            # As rerankers count.
            reading.prompt = usage["total_tokens"]


class ChoicesReader(Reader):
    """Chats and text completions."""

    def __init__(self, n: int = 1) -> None:
        super().__init__()
        self._ended: set[Any] = set()
        self._n = n

    def is_usage_only(self, value: dict[str, Any]) -> bool:
        return value.get("choices") == [] and isinstance(value.get("usage"), dict)

    def _whole(self, answer: dict[str, Any]) -> None:
        for choice in _objects(answer.get("choices")):
            message = choice.get("message")
            self._read(choice, message if isinstance(message, dict) else choice)

    def _event(self, value: dict[str, Any]) -> bool:
        if usage := value.get("usage"):
            self._usage(usage)
        wrote = False
        for choice in _objects(value.get("choices")):
            delta = choice.get("delta")
            wrote |= self._read(choice, delta if isinstance(delta, dict) else choice)
        return wrote

    def _read(self, choice: dict[str, Any], part: dict[str, Any]) -> bool:
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.reading.finish_reason = reason
            self._ended.add(_index(choice))
            self.reading.is_complete = len(self._ended) >= self._n
        texts = [text for name in _TEXTS if (text := part.get(name))]
        if calls := part.get("tool_calls"):
            texts += [
                function.get(name)
                for call in _objects(calls)
                if isinstance(function := call.get("function"), dict)
                for name in ("name", "arguments")
            ]
        return self.reading.wrote(*texts)


class MessagesReader(Reader):
    """Anthropic's messages."""

    end_mark = b""

    def _whole(self, answer: dict[str, Any]) -> None:
        reason = answer.get("stop_reason")
        self.reading.finish_reason = reason if isinstance(reason, str) else ""
        for block in _objects(answer.get("content")):
            self.reading.wrote(block.get("text"), block.get("thinking"))

    def _event(self, value: dict[str, Any]) -> bool:
        match value.get("type"):
            case "message_start" if isinstance(message := value.get("message"), dict):
                self._usage(message.get("usage"))
            case "message_delta":
                self._usage(value.get("usage"))
                delta = value.get("delta")
                reason = delta.get("stop_reason") if isinstance(delta, dict) else None
                self.reading.finish_reason = reason if isinstance(reason, str) else ""
            case "message_stop":
                self.reading.is_complete = self.reading.has_end_mark = True
            case "content_block_delta" if isinstance(delta := value.get("delta"), dict):
                names = ("text", "thinking", "partial_json")
                return self.reading.wrote(*(delta.get(name) for name in names))
        return False

    def _usage(self, usage: Any) -> None:
        super()._usage(usage)
        if not isinstance(usage, dict) or self.reading.prompt is None:
            return
        # Here the prompt's count is without what the cache had.
        read, made = (
            usage.get(f"cache_{name}_input_tokens") for name in ("read", "creation")
        )
        if _is_count(usage.get("input_tokens")):
            cached = _count(read)
            self.reading.prompt = usage["input_tokens"] + cached + _count(made)
            self.reading.cached = cached


class ResponsesReader(Reader):
    """OpenAI's responses."""

    end_mark = b""

    def _whole(self, answer: dict[str, Any]) -> None:
        status = answer.get("status")
        self.reading.finish_reason = status if isinstance(status, str) else ""
        for item in _objects(answer.get("output")):
            for part in _objects(item.get("content")):
                self.reading.wrote(part.get("text"))

    def _event(self, value: dict[str, Any]) -> bool:
        kind = value.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.reading.is_complete = self.reading.has_end_mark = True
            response = value.get("response")
            if isinstance(response, dict):
                self._usage(response.get("usage"))
                status = response.get("status")
                self.reading.finish_reason = status if isinstance(status, str) else ""
                if kind == "response.failed":
                    self.reading.error = response.get("error") or status or kind
            return False
        if kind == "error":
            self.reading.error = value
            return False
        if isinstance(kind, str) and kind.endswith(".delta"):
            return self.reading.wrote(value.get("delta"))
        return False


#: By the API's name in ``registry.models.Api``.
READERS: dict[str, type[Reader]] = {
    "chat": ChoicesReader,
    "completions": ChoicesReader,
    "embeddings": Reader,
    "rerank": Reader,
    "messages": MessagesReader,
    "responses": ResponsesReader,
}


def reader_of(api: str, n: int) -> Reader:
    """Return what reads an answer with ``n`` choices."""
    kind = READERS[api]
    return ChoicesReader(n) if kind is ChoicesReader else kind()


def read_whole(
    api: str, n: int, data: bytes, public_name: str
) -> tuple[dict[str, Any], bytes]:
    """Return what an answer says, and its bytes under the model's name here.

    What it says are members of an ``AnswerReading``. Raises ValueError and
    RecursionError for what is no JSON object.
    """
    answer: Any = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("no object")
    reader = reader_of(api, n)
    reader.whole(answer)
    return reader.reading.said(), renamed(data, answer, public_name)


def error_text(error: Any) -> str:
    """Return the message of an error, in whatever shape it comes; "" if it has none."""
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        for name in ("message", "detail", "error"):
            if text := error_text(error.get(name)):
                return text
    return ""


def _objects(value: Any) -> list[dict[str, Any]]:
    return (
        [each for each in value if isinstance(each, dict)]
        if isinstance(value, list)
        else []
    )


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _count(value: Any) -> int:
    return value if _is_count(value) else 0
