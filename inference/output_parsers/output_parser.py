"""An output parser: how one model family writes reasoning and tool calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.output_parsers.ids import NewId, openai_id
from inference.output_parsers.reasoning import THINK, ReasoningTags
from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
from inference.output_parsers.writer import DeltaWriter, ToolSchemas

if TYPE_CHECKING:
    from inference.output_parsers.deltas import Delta
    from inference.output_parsers.framing import Framing


#: Returns a description of tools: OpenAI's ``function`` objects.
Instructions = Callable[[Sequence[Mapping[str, Any]]], str]


@dataclass(frozen=True, slots=True)
class OutputParser:
    """The format of one model family: data, and a reader for what follows reasoning.

    ``preserved_tokens`` are the tags of the format, as in llama.cpp's
    ``common_chat_params``: where they are control tokens of the vocabulary, their text
    must reach the parser. ``framing`` is how the family writes calls; ``call_starts``
    are texts at which a call may begin besides its openers, "\\n" for a line.
    ``instructions`` describes tools where the chat template has no place for them.
    """

    name: str
    read: Callable[[TextScanner, DeltaWriter], Parse[None]]
    preserved_tokens: tuple[str, ...]
    framing: Framing
    reasoning: ReasoningTags = THINK
    new_id: NewId = openai_id
    call_starts: tuple[str, ...] = ()
    instructions: Instructions | None = None

    def for_answer(
        self,
        tools: ToolSchemas,
        *,
        starts_in_reasoning: bool = False,
        max_calls: int | None = None,
        names_first: bool = False,
        only_calls: bool = False,
    ) -> AnswerParser:
        """Return a parser for one answer.

        ``tools`` maps names to the JSON schemas of their parameters; a call of any
        other tool is content. ``starts_in_reasoning``: the prompt ends in reasoning,
        see ``ReasoningTags.is_begun_by``. ``max_calls``: text after that many calls is
        dropped. ``names_first``: a JSON object is a call only if its first member is
        the name, as a grammar for calls has it; then reasoning has no calls.
        ``only_calls``: the answer must be calls, so text after them, or one that
        repeats another, ends it.
        """
        scanner = TextScanner()
        writer = DeltaWriter(
            tools,
            self.new_id,
            max_calls,
            names_first=names_first,
            only_calls=only_calls,
        )
        machine = self._machine(scanner, writer, is_begun=starts_in_reasoning)
        return AnswerParser(scanner, writer, machine)

    def _machine(
        self, scanner: TextScanner, writer: DeltaWriter, *, is_begun: bool
    ) -> Parse[None]:
        yield from self.reasoning.read(
            scanner,
            writer,
            is_begun=is_begun,
            read_answer=self.read,
            # With a grammar for calls, reasoning is always closed.
            openers=()
            if writer.names_first
            else (*self.framing.openers, *self.call_starts),
        )
        yield from self.read(scanner, writer)
        # What the reader leaves is content.
        yield from scanner.until(Delimiters(), writer.content)
        writer.close()


class AnswerParser:
    """Parses the text of one answer while it arrives.

    It accepts any text and loses only tags of the format: what is not a call is
    content. A call that has begun stays a call; if the text ends in it, its arguments
    end there too.
    """

    def __init__(
        self, scanner: TextScanner, writer: DeltaWriter, machine: Parse[None]
    ) -> None:
        self._scanner = scanner
        self._writer = writer
        self._machine = machine

    @property
    def is_full(self) -> bool:
        """Whether the answer has all of its calls, so that more text is dropped."""
        return self._writer.is_full

    @property
    def is_reasoning(self) -> bool:
        """Whether the text so far ends in reasoning."""
        return self._writer.is_reasoning

    def push(self, text: str) -> list[Delta]:
        """Parse what the model wrote next; return what is certain now."""
        self._scanner.feed(text)
        next(self._machine)
        return self._writer.drain()

    def finish(self) -> list[Delta]:
        """Return the rest, after the model has ended."""
        self._scanner.close()
        next(self._machine, None)
        return self._writer.drain()
