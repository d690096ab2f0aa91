"""Collects the events of sequences into one answer, or into a stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from inference.api.streaming.answer_assembler import AnswerAssembler, merged
from inference.api.streaming.logprobs import mean_logprob
from inference.api.streaming.payloads import Answer
from inference.api.streaming.response_objects import REASONS
from inference.api.streaming.usage import (
    AnswerUsage,
    completion_usage,
    token_counts,
)
from inference.engine.output import SequenceOutput
from inference.errors import RequestRejected, RequestTimeout
from inference.transport.messages.events import MAX_UNREAD_BYTES, logprob_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from inference.api.streaming.formats import AnswerFormat
    from inference.api.streaming.generation import Generation, Numbered
    from inference.api.streaming.response_objects import (
        ChatFinishReason,
        CompletionUsage,
    )
    from inference.api.streaming.token_counts import Progress, TokenCounts
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.output_parsers import Delta
    from inference.transport.messages.events import Event

#: After this much silence a stream sends a sign of life.
KEEP_ALIVE_S = 10.0


class Meter(Protocol):
    """Measures a request."""

    def observe(self, events: Iterable[Numbered], *, n: int) -> None:
        """Take events; the first ``n`` sequences share a prompt, as do the next."""

    def counts(self, progress: Progress) -> None:
        """Take what returns the request's tokens so far, and why its answers ended."""


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How many sequences each prompt of a request has, and the deadline.

    ``deadline`` is the event loop's time, ``timeout_s`` what it was set to. The
    ``best`` most likely sequences are the answers; 0 is all.
    """

    n: int
    timeout_s: float
    deadline: float
    best: int = 0


@dataclass(slots=True)
class _AnswerState:
    """The output of a sequence, and the part that was not sent to the client yet.

    ``parser`` parses its text, if it is parsed.
    """

    parser: AnswerAssembler | None
    texts: list[str] = field(default_factory=list)
    parts: list[Delta] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt: tuple[TokenLogprobs, ...] = ()
    reason: ChatFinishReason | None = None
    stopped_by: str = ""
    usage: AnswerUsage = field(default_factory=AnswerUsage)

    def take(self, event: Event) -> None:
        """Take an event; ``reason`` is set if the answer ends with it."""
        count = self.usage.take(event)
        if not isinstance(event, SequenceOutput) or event.is_start:
            return
        if event.prompt_logprobs:
            self.prompt = event.prompt_logprobs
        self.stopped_by = event.stopped_by
        if self.parser is not None:
            self.parts += self.parser.take(event, count)
            self.reason = self.parser.finish_reason
            self.logprobs += () if self.parser.is_hidden else event.logprobs
            return
        self.logprobs += event.logprobs
        self.texts.append(event.text)
        if event.finish_reason is not None:
            self.reason = REASONS[event.finish_reason]

    def pop(self, index: int, format_: AnswerFormat) -> bytes:
        """Return what was not sent to the client yet as events, and clear it."""
        logprobs = tuple(self.logprobs)
        self.logprobs.clear()
        # Text may be held back, and a token may have no text.
        if self.parser is None:
            text = "".join(self.texts)
            self.texts.clear()
            return format_.text(index, text, logprobs) if text or logprobs else b""
        parts = merged(self.parts)
        self.parts.clear()
        return format_.parts(index, parts, logprobs) if parts or logprobs else b""


class _Answers:
    """The answers of a request, by the number of their sequence."""

    def __init__(self, generation: Generation, format_: AnswerFormat) -> None:
        self._generation = generation
        self._settings = format_.parser_settings
        self._complete: list[int] = []
        self.by_index: dict[int, _AnswerState] = {}

    def take(self, index: int, event: Event) -> _AnswerState | None:
        """Pass an event on; None means that its sequence ended before it."""
        sequence = self.by_index.get(index)
        if sequence is None:
            settings = self._settings
            parser = None if settings is None else AnswerAssembler(settings)
            sequence = self.by_index[index] = _AnswerState(parser)
        elif sequence.reason is not None:
            return None
        sequence.take(event)
        if sequence.reason is not None and not event.is_last:
            self._complete.append(index)
        return sequence

    async def give_up_complete(self) -> None:
        """End the sequences that still run although their answer is complete."""
        while self._complete:
            await self._generation.give_up(self._complete.pop())

    def usage(self, *, n: int) -> CompletionUsage:
        """Return the usage of all of them."""
        return completion_usage(self._counted(), n=n, reasoning_tokens=self._reasoning)

    def progress(self, n: int) -> tuple[TokenCounts, str]:
        """Return the tokens so far, and the reasons of those that have ended."""
        counts = token_counts(self._counted(), n=n, reasoning=self._reasoning or 0)
        reasons = (sequence.reason for sequence in self.by_index.values())
        return counts, ",".join(dict.fromkeys(filter(None, reasons)))

    def _counted(self) -> dict[int, AnswerUsage]:
        return {index: sequence.usage for index, sequence in self.by_index.items()}

    @property
    def _reasoning(self) -> int | None:
        """The reasoning tokens of all; None if the answers are not parsed."""
        parsers = [sequence.parser for sequence in self.by_index.values()]
        reasoning = [parser.reasoning_tokens for parser in parsers if parser]
        return sum(reasoning) if reasoning else None


async def collect(
    generation: Generation,
    format_: AnswerFormat,
    limits: AnswerLimits,
    meter: Meter,
) -> object:
    """Return the whole answer when it is complete. Raises InferenceError."""
    sequences = _Answers(generation, format_)
    meter.counts(lambda: sequences.progress(limits.n))
    held_bytes = 0
    while not generation.is_done:
        events = await generation.events()
        meter.observe(events, n=limits.n)
        for index, event in events:
            sequences.take(index, event)
            if isinstance(event, SequenceOutput):
                held_bytes += logprob_bytes(event)
        if held_bytes > MAX_UNREAD_BYTES:
            raise _too_many_logprobs()
        await sequences.give_up_complete()
    by_index = sequences.by_index
    answers = _best([by_index[index] for index in range(len(by_index))], limits)
    whole = partial(
        format_.whole,
        [_answer(sequence, format_) for sequence in answers],
        sequences.usage(n=limits.n),
    )
    # There may be very many logprobs: others take turns with what writes them down.
    return await asyncio.to_thread(whole) if format_.with_logprobs else whole()


def _too_many_logprobs() -> RequestRejected:
    return RequestRejected(
        f"The logprobs of the answer take more than {MAX_UNREAD_BYTES // 2**20} MiB. "
        "Ask for fewer alternatives, fewer answers or shorter ones, or stream.",
        code="too_many_logprobs",
        param="logprobs",
    )


def _best(sequences: list[_AnswerState], limits: AnswerLimits) -> list[_AnswerState]:
    """Return the most likely sequences of each prompt, if not all are wanted."""
    if not limits.best:
        return sequences
    kept: list[_AnswerState] = []
    for first in range(0, len(sequences), limits.n):
        of_prompt = sequences[first : first + limits.n]
        of_prompt.sort(key=lambda each: mean_logprob(each.logprobs), reverse=True)
        kept += of_prompt[: limits.best]
    return kept


def _answer(sequence: _AnswerState, format_: AnswerFormat) -> Answer:
    return Answer(
        text="".join(sequence.texts),
        finish_reason=sequence.reason or "stop",
        logprobs=tuple(sequence.logprobs) if format_.with_logprobs else None,
        prompt=sequence.prompt,
        parts=None if sequence.parser is None else tuple(sequence.parts),
        stopped_by=sequence.stopped_by,
    )


async def pieces(
    generation: Generation,
    format_: AnswerFormat,
    limits: AnswerLimits,
    meter: Meter,
    before_end: Callable[[], Awaitable[None]] | None = None,
    *,
    one_by_one: bool = False,
) -> AsyncGenerator[bytes, None]:
    """Yield the answer as server-sent events; b"" after some seconds of silence.

    ``before_end`` is awaited when the answer is complete and its last events are made,
    before they are yielded. ``one_by_one`` makes events of each of the engine's events,
    not of all that have come.
    Raises InferenceError.
    """
    sequences = _Answers(generation, format_)
    meter.counts(lambda: sequences.progress(limits.n))
    clock = asyncio.get_running_loop().time
    sent_at = clock()
    while not generation.is_done:
        events = await generation.events(min(KEEP_ALIVE_S, _time_left(limits)))
        meter.observe(events, n=limits.n)
        batches = [[event] for event in events] if one_by_one else [events]
        piece = format_.aside()
        piece += b"".join(_encode(batch, format_, sequences) for batch in batches)
        await sequences.give_up_complete()
        # What comes may be nothing that the client sees, such as thoughts.
        if piece or not events or clock() - sent_at >= KEEP_ALIVE_S:
            sent_at = clock()
            yield piece
    last = format_.end(sequences.usage(n=limits.n))
    if before_end is not None:
        await before_end()
    yield last


def _encode(
    events: Iterable[Numbered], format_: AnswerFormat, sequences: _Answers
) -> bytes:
    """Return all events as one chunk of bytes; an answer's texts become one event."""
    out: list[bytes] = []
    changed: dict[int, _AnswerState] = {}
    for index, event in events:
        sequence = sequences.take(index, event)
        if sequence is None:
            continue
        if isinstance(event, SequenceOutput):
            if event.is_start:
                out.append(format_.begin(index, sequence.usage))
            if event.prompt_logprobs:
                format_.scored(index, event.prompt_logprobs)
        changed[index] = sequence
        if sequence.reason is not None:
            out.append(changed.pop(index).pop(index, format_))
            format_.stopped(index, sequence.stopped_by)
            out.append(format_.finish(index, sequence.reason))
    out += [sequence.pop(index, format_) for index, sequence in changed.items()]
    return b"".join(out)


def in_words_of(format_: AnswerFormat, error: Exception) -> Exception:
    """Return the error with the request's own name of the prompt."""
    if isinstance(error, RequestRejected) and error.param == "prompt":
        error.param = format_.prompt_param
    return error


def timed_out(limits: AnswerLimits) -> RequestTimeout:
    """Return the error of a request whose deadline has passed."""
    return RequestTimeout(f"The answer was not finished within {limits.timeout_s:g} s.")


def _time_left(limits: AnswerLimits) -> float:
    """Return the seconds until the deadline. Raises RequestTimeout."""
    left = limits.deadline - asyncio.get_running_loop().time()
    if left <= 0:
        raise timed_out(limits)
    return left
