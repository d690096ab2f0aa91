"""Encodes answers of chats and text completions, whole and in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from inference.api.streaming import former_calls, payloads, sse
from inference.api.streaming.echo import Echo
from inference.api.streaming.logprobs import (
    chat_logprobs,
    joined,
    num_characters,
    text_logprobs,
)
from inference.api.streaming.response_objects import (
    REASONS,
    ChatChunk,
    ChatCompletion,
    TextCompletion,
)
from inference.api.streaming.text_inputs import InputDeltas, rewrite_calls

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from inference.api.streaming.answer_assembler import ParserSettings
    from inference.api.streaming.payloads import Answer, AnswerHeader
    from inference.api.streaming.response_objects import (
        ChatFinishReason,
        ChatLogprobs,
        CompletionUsage,
        MessageDelta,
        TextChoice,
    )
    from inference.api.streaming.usage import AnswerUsage
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta

_Whole = TypeVar("_Whole")
_Chunk = TypeVar("_Chunk", ChatChunk, TextCompletion)


class AnswerFormat(ABC):
    """The format of one endpoint's answers, of whatever API.

    Without ``parser_settings`` the whole text of an answer is content.
    """

    #: The request's member that contains the prompt.
    prompt_param: str
    #: The type of a stream.
    content_type: ClassVar[str] = sse.CONTENT_TYPE
    #: What a stream sends while there is nothing to say.
    keep_alive: bytes = sse.KEEP_ALIVE
    #: The same before the answer has begun.
    first_sign: bytes = sse.KEEP_ALIVE
    with_logprobs: bool
    parser_settings: ParserSettings | None

    @abstractmethod
    def whole(self, answers: Sequence[Answer], usage: CompletionUsage) -> object:
        """Return the answer of a request that does not stream."""

    @abstractmethod
    def start(self, index: int) -> bytes:
        """Return the event that opens an answer; b"" if there is none."""

    def begin(self, index: int, usage: AnswerUsage) -> bytes:
        """Return the event that opens an answer, given the tokens of its prompt."""
        return self.start(index)

    def stopped(  # noqa: B027 - most formats do not say it
        self, index: int, text: str
    ) -> None:
        """Take the stop string that has ended an answer, "" if none has."""

    def scored(  # noqa: B027 - most formats show no logprobs of prompts
        self, index: int, logprobs: Sequence[TokenLogprobs]
    ) -> None:
        """Take the logprobs of a prompt's tokens."""

    @abstractmethod
    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        """Return the event that adds text and its logprobs to an answer."""

    def parts(
        self, index: int, parts: Sequence[Delta], logprobs: Sequence[TokenLogprobs]
    ) -> bytes:
        """Return the events that add parsed parts to an answer."""
        raise NotImplementedError

    def aside(self) -> bytes:
        """Return the events of what has happened beside the model's answer."""
        return b""

    @abstractmethod
    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        """Return the event that ends an answer."""

    @abstractmethod
    def end(self, usage: CompletionUsage) -> bytes:
        """Return the last events of a stream."""

    def failed(self, status: int, body: Mapping[str, Any]) -> bytes:
        """Return the last events of a stream that fails.

        ``status`` and ``body`` are what the error would be without a stream.
        """
        return sse.event(body) + sse.DONE


class Format(AnswerFormat, Generic[_Whole, _Chunk]):
    """The format of chats and of text completions."""

    def __init__(
        self,
        header: AnswerHeader,
        *,
        include_usage: bool,
        with_logprobs: bool = False,
        parser_settings: ParserSettings | None = None,
    ) -> None:
        self._header = header
        self._include_usage = include_usage
        self.with_logprobs = with_logprobs
        self.parser_settings = parser_settings
        self._texts: dict[int, sse.Template] = {}

    @abstractmethod
    def whole(self, answers: Sequence[Answer], usage: CompletionUsage) -> _Whole:
        """Return the answer of a request that does not stream."""

    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        if self.with_logprobs:
            chunk = self._with_usage(self._text_chunk(index, text, logprobs))
            return sse.event(chunk)
        template = self._texts.get(index)
        if template is None:
            chunk = self._with_usage(self._text_chunk(index, sse.HOLE, ()))
            template = self._texts[index] = sse.Template(chunk)
        return template.fill(text)

    def end(self, usage: CompletionUsage) -> bytes:
        if not self._include_usage:
            return sse.DONE
        chunk = self._empty_chunk()
        chunk["usage"] = usage
        return sse.event(chunk) + sse.DONE

    @abstractmethod
    def _text_chunk(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs]
    ) -> _Chunk:
        """Return a chunk that adds text to an answer."""

    @abstractmethod
    def _empty_chunk(self) -> _Chunk:
        """Return a chunk that adds nothing."""

    def _with_usage(self, chunk: _Chunk) -> _Chunk:
        """Return the chunk as OpenAI formats it when the stream ends with the usage."""
        if self._include_usage:
            chunk["usage"] = None
        return chunk


class ChatFormat(Format[ChatCompletion, ChatChunk]):
    """Chat completions; ``is_former``: a call is a ``function_call`` of the message.

    ``custom`` are the names of custom tools.
    """

    prompt_param = "messages"

    def __init__(
        self,
        header: AnswerHeader,
        *,
        include_usage: bool,
        with_logprobs: bool = False,
        parser_settings: ParserSettings | None = None,
        is_former: bool = False,
        custom: Collection[str] = (),
    ) -> None:
        super().__init__(
            header,
            include_usage=include_usage,
            with_logprobs=with_logprobs,
            parser_settings=parser_settings,
        )
        self._is_former = is_former
        self._custom = custom
        self._inputs: dict[int, InputDeltas] = {}

    def whole(
        self, answers: Sequence[Answer], usage: CompletionUsage
    ) -> ChatCompletion:
        completion = payloads.chat_completion(self._header, answers, usage)
        for choice in completion["choices"]:
            rewrite_calls(choice, self._custom)
            if self._is_former:
                former_calls.rewrite_choice(choice)
        return completion

    def start(self, index: int) -> bytes:
        # A parsed answer may have no content at all.
        content = "" if self.parser_settings is None else None
        return self._event(index, {"role": "assistant", "content": content})

    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        if self._is_former:
            reason = former_calls.finish_reason(reason)
        rest = self._inputs.pop(index).end() if index in self._inputs else ()
        before = b"".join(self._event(index, delta) for _, delta in rest)
        return before + self._event(index, {}, reason)

    def parts(
        self, index: int, parts: Sequence[Delta], logprobs: Sequence[TokenLogprobs]
    ) -> bytes:
        events = []
        scored = chat_logprobs(logprobs) if logprobs else None
        deltas = self._deltas(index, parts)
        if self._is_former:
            deltas = [former_calls.delta(each) for each in deltas]
        # Tokens may have logprobs without text: it is held back, or they have none.
        for delta in deltas or ([{}] if scored else []):
            events.append(self._event(index, delta, logprobs=scored))
            scored = None
        return b"".join(events)

    def _deltas(self, index: int, parts: Sequence[Delta]) -> list[MessageDelta]:
        if not self._custom:
            return [payloads.delta_of(part) for part in parts]
        inputs = self._inputs.setdefault(index, InputDeltas(self._custom))
        return [
            delta if part is None else payloads.delta_of(part)
            for part, delta in inputs.deltas(parts)
        ]

    def _text_chunk(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs]
    ) -> ChatChunk:
        scored = chat_logprobs(logprobs) if self.with_logprobs else None
        delta = payloads.chat_delta(index, {"content": text}, logprobs=scored)
        return payloads.chat_chunk(self._header, [delta])

    def _empty_chunk(self) -> ChatChunk:
        return payloads.chat_chunk(self._header, [])

    def _event(
        self,
        index: int,
        delta: MessageDelta,
        reason: ChatFinishReason | None = None,
        logprobs: ChatLogprobs | None = None,
    ) -> bytes:
        choice = payloads.chat_delta(index, delta, reason, logprobs)
        return sse.event(self._with_usage(payloads.chat_chunk(self._header, [choice])))


class TextFormat(Format[TextCompletion, TextCompletion]):
    """Text completions. ``prompts``, one for each answer, come before the answers."""

    prompt_param = "prompt"

    def __init__(
        self,
        header: AnswerHeader,
        *,
        include_usage: bool,
        with_logprobs: bool = False,
        prompts: Sequence[str | list[int]] = (),
    ) -> None:
        super().__init__(
            header, include_usage=include_usage, with_logprobs=with_logprobs
        )
        self._echoes = {index: Echo(prompt) for index, prompt in enumerate(prompts)}
        self._positions: dict[int, int] = {}

    def whole(
        self, answers: Sequence[Answer], usage: CompletionUsage
    ) -> TextCompletion:
        completion = payloads.text_completion(
            self._header,
            [self._choice(index, answer) for index, answer in enumerate(answers)],
        )
        completion["usage"] = usage
        return completion

    def start(self, index: int) -> bytes:
        return b""

    def scored(self, index: int, logprobs: Sequence[TokenLogprobs]) -> None:
        # A worker that resumes the sequence returns these again.
        if index in self._echoes:
            self._echoes[index].tokens = logprobs

    def text(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs] = ()
    ) -> bytes:
        return self._echo(index) + super().text(index, text, logprobs)

    def finish(self, index: int, reason: ChatFinishReason) -> bytes:
        chunk = payloads.text_completion(
            self._header, [payloads.text_choice(index, "", REASONS[reason])]
        )
        return self._echo(index) + sse.event(self._with_usage(chunk))

    def _choice(self, index: int, answer: Answer) -> TextChoice:
        text, scored = "", None
        echo = self._echoes.get(index)
        if echo is not None:
            echo.tokens = answer.prompt
            text = echo.text
        if answer.logprobs is not None:
            scored = text_logprobs(answer.logprobs, start=len(text))
            scored = scored if echo is None else joined(echo.logprobs, scored)
        text += answer.text
        reason = REASONS[answer.finish_reason]
        return payloads.text_choice(index, text, reason, scored)

    def _echo(self, index: int) -> bytes:
        """Return the event with the prompt, before the first event of its answer."""
        echo = self._echoes.pop(index, None)
        if echo is None:
            return b""
        self._positions[index] = len(echo.text)
        scored = echo.logprobs if self.with_logprobs else None
        choice = payloads.text_choice(index, echo.text, logprobs=scored)
        return sse.event(
            self._with_usage(payloads.text_completion(self._header, [choice]))
        )

    def _text_chunk(
        self, index: int, text: str, logprobs: Sequence[TokenLogprobs]
    ) -> TextCompletion:
        scored = None
        if self.with_logprobs:
            start = self._positions.get(index, 0)
            self._positions[index] = start + num_characters(logprobs)
            scored = text_logprobs(logprobs, start=start)
        choice = payloads.text_choice(index, text, logprobs=scored)
        return payloads.text_completion(self._header, [choice])

    def _empty_chunk(self) -> TextCompletion:
        return payloads.text_completion(self._header, [])
