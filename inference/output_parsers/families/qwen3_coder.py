"""Qwen3-Coder, Qwen3.5, Nemotron 3; and Seed-OSS, with marks of its own.

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

Format: the chat templates of Qwen/Qwen3-Coder-30B-A3B-Instruct and
ByteDance-Seed/Seed-OSS-36B-Instruct, whose values stand on no line of their own.
Qwen's own qwen3coder_tool_parser.py also takes calls without ``<tool_call>`` and
values without ``</parameter>``: the models leave them out now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import THINK, ReasoningTags
from inference.output_parsers.tagged_calls import ArgumentTags

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter


@dataclass(frozen=True, slots=True)
class _Functions:
    """Content, and calls between two tags."""

    begin: str
    tags: ArgumentTags

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        """Read the answer."""
        yield from read_content(
            scanner, writer, self._read_call, begin=(self.begin, "<function=")
        )

    def _read_call(
        self, scanner: TextScanner, writer: DeltaWriter, mark: str
    ) -> Parse[None]:
        if mark == self.begin:
            yield from scanner.space()
            mark = yield from scanner.accept("<function=")
        name = yield from scanner.accept(*writer.tools)
        if not mark or not name or not (yield from scanner.accept(">")):
            return
        scanner.forget()
        writer.begin(name)
        yield from self.tags.read(scanner, writer, name)


def _parser(name: str, begin: str, end: str, reasoning: ReasoningTags) -> OutputParser:
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


QWEN3_CODER = _parser("qwen3_coder", "<tool_call>", "</tool_call>", THINK)
SEED_OSS = _parser(
    "seed_oss",
    "<seed:tool_call>",
    "</seed:tool_call>",
    ReasoningTags(("<seed:think>",), ("</seed:think>",)),
)
