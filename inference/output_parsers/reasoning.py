"""Reasoning: what comes before the answer, between marks.

Only at the beginning of the text, or where the prompt has already begun it: a
``<think>`` further down is somebody's prose, or an argument. What stands between
the marks goes to ``reasoning_content`` as it is; whatever looks like a tool call
in it is a thought. A text that ends inside is all reasoning.
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
    """The marks that begin reasoning, and those that end it.

    ``has_lines``: they stand on lines of their own. ``may_recur``: there may be more of
    it after other parts of the answer.
    """

    begin: tuple[str, ...]
    end: tuple[str, ...]
    has_lines: bool = False
    may_recur: bool = False

    @property
    def opening(self) -> str:
        """How a model writes the beginning."""
        return self.begin[0] + "\n" * self.has_lines

    @property
    def closing(self) -> str:
        """How a model writes the end."""
        return f"\n{self.end[0]}\n\n" if self.has_lines else self.end[0]

    def read(
        self, scanner: TextScanner, writer: DeltaWriter, *, is_begun: bool
    ) -> Parse[None]:
        """Read the reasoning, if there is any."""
        scanner.remember()
        yield from scanner.space()
        mark = yield from scanner.accept(*self.begin)
        if not mark and not is_begun:
            writer.content(scanner.recall())
            return
        scanner.forget()
        writer.separate()
        writer.is_reasoning = True
        mark = yield from scanner.until(Delimiters(*self.end), writer.reasoning)
        writer.is_reasoning = False
        if mark:
            scanner.take(len(mark))
            writer.separate()

    def is_begun_by(self, prompt: str) -> bool:
        """Whether the prompt leaves the model in the middle of its reasoning."""
        return prompt.rstrip().endswith(self.begin)


#: DeepSeek R1's marks, which most have taken over.
THINK = ReasoningTags(("<think>",), ("</think>",), has_lines=True)
