"""Calls in tags: one with the function's name, one for each argument.

``tagged_functions`` is the format of Qwen3-Coder:

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

Qwen's qwen3coder_tool_parser.py also reads calls without ``<tool_call>`` and values
without ``</parameter>``: the models sometimes leave them out. ``Invocations`` is the
format of MiniMax M2 and DeepSeek V3.2, with one pair of tags around all calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.tagged_calls import ArgumentTags

if TYPE_CHECKING:
    from inference.output_parsers.reasoning import ReasoningTags
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter


def tagged_functions(
    name: str, begin: str, end: str, reasoning: ReasoningTags
) -> OutputParser:
    """Return the output parser of a family whose calls stand between two tags."""
    tags = ArgumentTags(
        key=("<parameter=", ">"),
        value=("", "</parameter>"),
        end=("</function>", end),
        has_lines=True,
    )
    return OutputParser(
        name,
        _Functions(begin, tags).read,
        preserved_tokens=(begin, end, *reasoning.begin, *reasoning.end),
        framing=Framing(
            PairFraming(f"{begin}\n<function=", ">\n", f"</function>\n{end}"),
            separator="\n",
            parameter=PairFraming("<parameter=", ">\n", "\n</parameter>\n"),
            openers=(begin, "<function="),
        ),
        reasoning=reasoning,
    )


@dataclass(frozen=True, slots=True)
class _Functions:
    """Content, and calls between two tags."""

    begin: str
    tags: ArgumentTags

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        yield from read_content(
            scanner, writer, self._read_call, begin=(self.begin, "<function=")
        )

    def _read_call(
        self, scanner: TextScanner, writer: DeltaWriter, tag: str
    ) -> Parse[None]:
        if tag == self.begin:
            yield from scanner.space()
            tag = yield from scanner.accept("<function=")
        name = yield from scanner.accept(*writer.tools)
        if not tag or not name or not (yield from scanner.accept(">")):
            return
        scanner.forget()
        writer.begin(name)
        yield from self.tags.read(scanner, writer, name)


@dataclass(frozen=True, slots=True)
class Invocations:
    """Reads content, and calls that begin with ``invoke`` and the name in quotes.

    ``around`` are tags before and after all calls of an answer.
    """

    invoke: str
    tags: ArgumentTags
    around: tuple[str, ...]

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        """Read the text after the reasoning."""
        yield from read_content(
            scanner, writer, self._read_call, begin=(self.invoke,), silent=self.around
        )

    def _read_call(
        self, scanner: TextScanner, writer: DeltaWriter, tag: str
    ) -> Parse[None]:
        name = yield from scanner.accept(*writer.tools)
        if not name or not (yield from scanner.accept('">')):
            return
        scanner.forget()
        writer.begin(name)
        yield from self.tags.read(scanner, writer, name)
