"""Parses a model's output into content, reasoning and tool calls, incrementally."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from inference.api.streaming.response_objects import REASONS
from inference.output_parsers import (
    ContentDelta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inference.api.streaming.response_objects import ChatFinishReason
    from inference.engine.output import SequenceOutput
    from inference.output_parsers import Delta, OutputParser


#: Where the reasoning of an answer is: in reasoning_content, in content between its
#: marks, or nowhere.
ReasoningPlace = Literal["member", "content", "nowhere"]


@dataclass(frozen=True, slots=True)
class ParserSettings:
    """How to parse the answers of a request.

    ``tools`` are the schemas of the functions that may be called, by name;
    ``max_calls`` None is any number. ``names_first``: only JSON that begins with a name
    is a call. ``only_calls``: the answer must be calls, and ends where they end.
    ``reasoning`` is where an answer has it.
    """

    output_parser: OutputParser
    tools: Mapping[str, Mapping[str, Any]]
    starts_in_reasoning: bool = False
    max_calls: int | None = None
    names_first: bool = False
    only_calls: bool = False
    reasoning: ReasoningPlace = "member"


class AnswerAssembler:
    """Parses one answer incrementally, and assembles it.

    ``reasoning_tokens`` counts the tokens of its reasoning, including the marks.
    ``finish_reason`` is None until the answer has ended.
    """

    def __init__(self, settings: ParserSettings) -> None:
        self._parser = settings.output_parser.for_answer(
            settings.tools,
            starts_in_reasoning=settings.starts_in_reasoning,
            max_calls=settings.max_calls,
            names_first=settings.names_first,
            only_calls=settings.only_calls,
        )
        self._marks = (
            settings.output_parser.reasoning
            if settings.reasoning == "content"
            else None
        )
        self._hides_reasoning = settings.reasoning == "nowhere"
        self._is_shown = False
        self._was_reasoning = settings.starts_in_reasoning
        self._has_calls = False
        #: Whether the last output was reasoning that the client does not get.
        self.is_hidden = False
        self.reasoning_tokens = 0
        self.finish_reason: ChatFinishReason | None = None

    @property
    def is_full(self) -> bool:
        """Whether the answer has all of its calls; the rest is dropped."""
        return self._parser.is_full

    def take(self, output: SequenceOutput, count: int) -> list[Delta]:
        """Return the new deltas after an output of ``count`` tokens.

        Returns nothing once the answer has ended.
        """
        if self.finish_reason is not None:
            return []
        deltas = self._shown(self._parser.push(output.text))
        is_reasoning = self._was_reasoning or self._parser.is_reasoning
        self.is_hidden = is_reasoning and self._hides_reasoning
        if is_reasoning:
            self.reasoning_tokens += count
        self._was_reasoning = self._parser.is_reasoning
        # At the end of the text the parser closes a call that was cut off, too.
        is_full = self.is_full
        if output.finish_reason is not None:
            deltas += self._shown(self._parser.finish())
            self.finish_reason = REASONS[output.finish_reason]
        if is_full or (self.finish_reason == "stop" and self._has_calls):
            self.finish_reason = "tool_calls"
        return deltas

    def _shown(self, deltas: list[Delta]) -> list[Delta]:
        """Return the deltas, with reasoning where the settings say."""
        self._has_calls |= any(isinstance(delta, ToolCallBegin) for delta in deltas)
        if self._hides_reasoning:
            return [each for each in deltas if not isinstance(each, ReasoningDelta)]
        if self._marks is None:
            return deltas
        shown: list[Delta] = []
        for delta in deltas:
            is_reasoning = isinstance(delta, ReasoningDelta)
            if is_reasoning and not self._is_shown:
                shown.append(ContentDelta(self._marks.begin[0]))
            elif self._is_shown and not is_reasoning:
                shown.append(ContentDelta(self._marks.end[0]))
            self._is_shown = is_reasoning
            shown.append(
                ContentDelta(delta.text) if isinstance(delta, ReasoningDelta) else delta
            )
        return shown


def merged(deltas: Iterable[Delta]) -> list[Delta]:
    """Return the deltas with consecutive pieces of the same part joined."""
    joined: list[Delta] = []
    for _, group in groupby(deltas, key=_whole):
        first, *rest = group
        match first:
            case ContentDelta(text):
                joined.append(ContentDelta(text + _texts(rest)))
            case ReasoningDelta(text):
                joined.append(ReasoningDelta(text + _texts(rest)))
            case ToolCallArguments(index, text):
                joined.append(ToolCallArguments(index, text + _texts(rest)))
            case ToolCallBegin():
                joined.append(first)
    return joined


def _whole(delta: Delta) -> object:
    """Return which part a delta belongs to."""
    return type(delta), getattr(delta, "index", None)


def _texts(deltas: Iterable[Delta]) -> str:
    return "".join(
        delta.fragment if isinstance(delta, ToolCallArguments) else delta.text
        for delta in deltas
        if not isinstance(delta, ToolCallBegin)
    )
