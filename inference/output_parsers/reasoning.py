"""Reasoning: the text between tags before the answer.

Reasoning is read only at the beginning of the text, or where the prompt has already
begun it: a ``<think>`` further down is prose, or an argument. The text between the tags
becomes ``reasoning_content`` unchanged, even if it looks like a tool call. A text that
ends before the closing tag is all reasoning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter


@dataclass(frozen=True, slots=True)
class ReasoningTags:
    """The tags that begin reasoning, and those that end it; a model writes the first.

    ``has_lines``: they stand on lines of their own. ``may_recur``: there may be more
    reasoning after other parts of the answer.
    """

    begin: tuple[str, ...]
    end: tuple[str, ...]
    has_lines: bool = False
    may_recur: bool = False

    @property
    def opening(self) -> str:
        """The beginning of reasoning, as the model writes it."""
        return self.begin[0] + "\n" * self.has_lines

    @property
    def closing(self) -> str:
        """The end of reasoning, as the model writes it."""
        return f"\n{self.end[0]}\n\n" if self.has_lines else self.end[0]

    def read(
        self, scanner: TextScanner, writer: DeltaWriter, *, is_begun: bool
    ) -> Parse[None]:
        """Read the reasoning, if there is any."""
        scanner.remember()
        yield from scanner.space()
        tag = yield from scanner.accept(*self.begin)
        if not tag and not is_begun:
            writer.content(scanner.recall())
            return
        scanner.forget()
        writer.separate()
        writer.is_reasoning = True
        tag = yield from scanner.until(Delimiters(*self.end), writer.reasoning)
        writer.is_reasoning = False
        if tag:
            scanner.take(len(tag))
            writer.separate()

    def is_begun_by(self, prompt: str) -> bool:
        """Return whether the prompt ends with the beginning of reasoning."""
        return prompt.rstrip().endswith(self.begin)


#: The tags of DeepSeek R1, which most families use.
THINK = ReasoningTags(("<think>",), ("</think>",), has_lines=True)
