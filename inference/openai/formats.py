"""The two kinds of answers, chat and text, as bytes: whole and in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from inference.openai import payloads, sse
from inference.openai.payloads import (
    Answer,
    ChatChunk,
    ChatCompletion,
    Delta,
    FinishReason,
    Head,
    TextCompletion,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_Whole = TypeVar("_Whole")
_Chunk = TypeVar("_Chunk", ChatChunk, TextCompletion)


class Format(ABC, Generic[_Whole, _Chunk]):
    """How the answers of one endpoint look."""

    #: The request's member that is what the engine calls the prompt.
    prompt_param: ClassVar[str]

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage
        self._texts: dict[int, sse.Template] = {}

    @abstractmethod
    def whole(self, answers: Sequence[Answer], usage: Usage) -> _Whole:
        """Return the answer of a request that does not stream."""

    @abstractmethod
    def start(self, index: int) -> bytes:
        """Return the event that opens an answer; b"" if there is none."""

    def text(self, index: int, text: str) -> bytes:
        """Return the event that adds text to an answer."""
        template = self._texts.get(index)
        if template is None:
            chunk = self._with_usage(self._text_chunk(index, sse.HOLE))
            template = self._texts[index] = sse.Template(chunk)
        return template.fill(text)

    @abstractmethod
    def finish(self, index: int, reason: FinishReason) -> bytes:
        """Return the event that ends an answer."""

    def end(self, usage: Usage) -> bytes:
        """Return the last events of a stream."""
        if not self._include_usage:
            return sse.DONE
        chunk = self._empty_chunk()
        chunk["usage"] = usage
        return sse.event(chunk) + sse.DONE

    @abstractmethod
    def _text_chunk(self, index: int, text: str) -> _Chunk:
        """Return a chunk that adds text to an answer."""

    @abstractmethod
    def _empty_chunk(self) -> _Chunk:
        """Return a chunk that adds nothing."""

    def _with_usage(self, chunk: _Chunk) -> _Chunk:
        """Return the chunk as OpenAI has it when the usage comes last."""
        if self._include_usage:
            chunk["usage"] = None
        return chunk


class ChatFormat(Format[ChatCompletion, ChatChunk]):
    """Chat completions."""

    prompt_param = "messages"

    def whole(self, answers: Sequence[Answer], usage: Usage) -> ChatCompletion:
        return payloads.chat_completion(self._head, answers, usage)

    def start(self, index: int) -> bytes:
        return self._event(index, {"role": "assistant", "content": ""})

    def finish(self, index: int, reason: FinishReason) -> bytes:
        return self._event(index, {}, reason)

    def _text_chunk(self, index: int, text: str) -> ChatChunk:
        return payloads.chat_chunk(
            self._head, [payloads.chat_delta(index, {"content": text})]
        )

    def _empty_chunk(self) -> ChatChunk:
        return payloads.chat_chunk(self._head, [])

    def _event(
        self, index: int, delta: Delta, reason: FinishReason | None = None
    ) -> bytes:
        choice = payloads.chat_delta(index, delta, reason)
        return sse.event(self._with_usage(payloads.chat_chunk(self._head, [choice])))


class TextFormat(Format[TextCompletion, TextCompletion]):
    """Text completions."""

    prompt_param = "prompt"

    def whole(self, answers: Sequence[Answer], usage: Usage) -> TextCompletion:
        choices = [
            payloads.text_choice(index, answer.text, answer.finish_reason)
            for index, answer in enumerate(answers)
        ]
        completion = payloads.text_completion(self._head, choices)
        completion["usage"] = usage
        return completion

    def start(self, index: int) -> bytes:
        return b""

    def finish(self, index: int, reason: FinishReason) -> bytes:
        chunk = payloads.text_completion(
            self._head, [payloads.text_choice(index, "", reason)]
        )
        return sse.event(self._with_usage(chunk))

    def _text_chunk(self, index: int, text: str) -> TextCompletion:
        return payloads.text_completion(self._head, [payloads.text_choice(index, text)])

    def _empty_chunk(self) -> TextCompletion:
        return payloads.text_completion(self._head, [])


AnyFormat = ChatFormat | TextFormat
