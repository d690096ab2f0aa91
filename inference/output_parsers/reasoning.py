"""Reasoning: the text between tags before the answer.

Reasoning is read only at the beginning of the text, or where the prompt has already
begun it: a ``<think>`` further down is prose, or an argument. The text between the tags
becomes ``reasoning_content`` unchanged, even if it looks like a tool call.

Some models never write the closing tag: they call, and end. So a call in reasoning is
held back. If the closing tag comes, it was a thought about a call; if the text ends, it
is a call. A text that ends before the closing tag is otherwise all reasoning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.deltas import ToolCallArguments, ToolCallBegin
from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
from inference.output_parsers.writer import DeltaWriter

if TYPE_CHECKING:
    from collections.abc import Collection

#: Reads what follows reasoning: content and calls.
ReadAnswer = Callable[[TextScanner, DeltaWriter], Parse[None]]


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The tags that begin reasoning, and those that end it; a model writes the first.

    ``stops``: marks of what follows, which end reasoning without being a part of it.
    ``has_lines``: the tags stand on lines of their own. ``opens_line``: a line break
    follows the first. ``may_recur``: there may be more reasoning after other parts of
    the answer. ``ends_alone``: an answer without reasoning begins with the last tag.
    """

    begin: tuple[str, ...]
    end: tuple[str, ...]
    stops: tuple[str, ...] = ()
    has_lines: bool = False
    opens_line: bool = False
    may_recur: bool = False
    ends_alone: bool = False

    @property
    def opening(self) -> str:
        """The beginning of reasoning, as the model writes it."""
        return self.begin[0] + "\n" * (self.has_lines or self.opens_line)

    @property
    def closing(self) -> str:
        """The end of reasoning, as the model writes it."""
        return f"\n{self.end[0]}\n\n" if self.has_lines else self.end[0]

    def read(
        self,
        scanner: TextScanner,
        writer: DeltaWriter,
        *,
        is_begun: bool,
        read_answer: ReadAnswer,
        openers: Collection[str],
    ) -> Parse[None]:
        """Read the reasoning, if there is any.

        ``read_answer`` reads what follows it, and finds the calls in it; ``openers``
        are the texts at which a call may begin, "\\n" for a line.
        """
        scanner.remember()
        yield from scanner.space()
        tag = yield from scanner.accept(*self.begin)
        if not tag and not is_begun:
            # Models close reasoning that the prompt has them not begin.
            if (yield from scanner.accept(*self.end)):
                scanner.forget()
                writer.separate()
            writer.content(scanner.recall())
            return
        scanner.forget()
        writer.separate()
        writer.is_reasoning = True
        thought = _Thought(scanner, writer, read_answer)
        ends = Delimiters(*self.end, *self.stops)
        tag = yield from thought.read(ends, openers if writer.tools else ())
        writer.is_reasoning = False
        if tag in self.end:
            yield from scanner.drop(tag)
        if tag:
            writer.separate()

    def is_begun_by(self, prompt: str) -> bool:
        """Return whether the prompt ends with the beginning of reasoning."""
        return prompt.rstrip().endswith(self.begin)


@dataclass(frozen=True, slots=True)
class _Thought:
    """Reads a thought that has begun."""

    scanner: TextScanner
    writer: DeltaWriter
    read_answer: ReadAnswer

    def read(self, ends: Delimiters, openers: Collection[str]) -> Parse[str]:
        """Read up to an end, or up to a call that is the end. Return its beginning."""
        scanner, writer = self.scanner, self.writer
        delimiters = Delimiters(*ends.texts, *openers)
        tag = "\n" if "\n" in openers else ""  # a line begins where the thought does
        while True:
            if tag == "\n":
                writer.reasoning((yield from scanner.space()))
            if tag and (yield from self._may_call(ends)):
                held: list[str] = []
                end = yield from scanner.until(ends, held.append)
                if end:
                    writer.reasoning("".join(held))
                else:
                    scanner.give_back("".join(held))
                return end or tag
            if tag != "\n":
                writer.reasoning(scanner.take(len(tag)))
            tag = yield from scanner.until(delimiters, writer.reasoning)
            if not tag or tag in ends.texts:
                return tag

    def _may_call(self, ends: Delimiters) -> Parse[bool]:
        """Return whether a call begins here, before any end. Takes nothing."""
        ahead = _LookAhead(self.read_answer, self.writer)
        position, window = 0, ""
        while ahead.is_call is None:
            # Most texts show at once that they are no call.
            piece = yield from self.scanner.following(position, 16 + position)
            position += len(piece)
            window = window[-ends.longest :] + piece
            if ends.find(window, 0)[1]:
                return False
            ahead.read(piece)
        return ahead.is_call


class _LookAhead:
    """Reads a text as an answer, until it is known whether it begins with a call."""

    def __init__(self, read_answer: ReadAnswer, writer: DeltaWriter) -> None:
        self.is_call: bool | None = None
        self._scanner = TextScanner()
        self._writer = writer.empty_copy()
        self._machine = read_answer(self._scanner, self._writer)

    def read(self, piece: str) -> None:
        """Read more of the text; "" is its end."""
        if piece:
            self._scanner.feed(piece)
        else:
            self._scanner.close()
        next(self._machine, None)
        for delta in self._writer.drain():
            if isinstance(delta, ToolCallBegin | ToolCallArguments):
                self.is_call = True
                return
            if delta.text.strip():
                self.is_call = False
                return
        if not piece:
            self.is_call = False


#: The tags of DeepSeek R1, which most families use.
THINK = ReasoningTags(("<think>",), ("</think>",), has_lines=True)
