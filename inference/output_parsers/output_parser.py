"""Output parser: how one model family writes reasoning and tool calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.ids import NewId, openai_id
from inference.output_parsers.reasoning import THINK, ReasoningTags
from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
from inference.output_parsers.writer import DeltaWriter, ToolSchemas

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.output_parsers.deltas import Delta
    from inference.output_parsers.framing import Framing


@dataclass(frozen=True, slots=True)
class OutputParser:
    """One format, as data and one state machine.

    ``read`` reads what follows the reasoning. ``marks`` are the texts that the
    format is made of: those that are control tokens of the model's vocabulary
    must reach the parser as text.
    """

    name: str
    read: Callable[[TextScanner, DeltaWriter], Parse[None]]
    preserved_tokens: tuple[str, ...]
    framing: Framing
    reasoning: ReasoningTags = THINK
    new_id: NewId = openai_id

    def for_answer(
        self,
        tools: ToolSchemas,
        *,
        starts_in_reasoning: bool = False,
        max_calls: int | None = None,
        names_first: bool = False,
    ) -> AnswerParser:
        """Return a parser for one answer.

        ``tools`` maps names to the JSON schemas of their parameters; what calls
        anything else is content. ``starts_in_reasoning`` is what
        ``reasoning.is_begun_by`` says of the prompt. With ``names_first`` an object is
        only a call if its first member is the name.
        """
        scanner = TextScanner()
        writer = DeltaWriter(tools, self.new_id, max_calls, names_first=names_first)
        machine = self._machine(scanner, writer, is_begun=starts_in_reasoning)
        return AnswerParser(scanner, writer, machine)

    def _machine(
        self, scanner: TextScanner, writer: DeltaWriter, *, is_begun: bool
    ) -> Parse[None]:
        yield from self.reasoning.read(scanner, writer, is_begun=is_begun)
        yield from self.read(scanner, writer)
        # What a machine leaves, it leaves as content.
        yield from scanner.until(Delimiters(), writer.content)
        writer.close()


class AnswerParser:
    """Takes one answer's text apart while it comes.

    Whatever the text, nothing raises, and nothing that is not a mark of the
    format is lost: what is no call is content. A call that has begun stays one;
    if the text ends in it, its arguments are what there was of them.
    """

    def __init__(
        self, scanner: TextScanner, writer: DeltaWriter, machine: Parse[None]
    ) -> None:
        self._scanner = scanner
        self._writer = writer
        self._machine = machine

    @property
    def is_full(self) -> bool:
        """Whether ``max_calls`` calls are complete: what follows is dropped."""
        return self._writer.is_full

    @property
    def is_reasoning(self) -> bool:
        """Whether the text so far ends in reasoning."""
        return self._writer.is_reasoning

    def push(self, text: str) -> list[Delta]:
        """Take what the model wrote next; return what became certain."""
        self._scanner.feed(text)
        next(self._machine)
        return self._writer.drain()

    def finish(self) -> list[Delta]:
        """Return the rest: the model has ended."""
        self._scanner.close()
        next(self._machine, None)
        return self._writer.drain()
