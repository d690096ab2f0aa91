"""GLM 4.5, 4.6 and 4.7.

    <tool_call>NAME
    <arg_key>KEY</arg_key>
    <arg_value>VALUE</arg_value>
    </tool_call>

Format: the chat templates of zai-org/GLM-4.5, and of GLM-4.7, which has no line
breaks. Strings are bare, everything else is JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, Slots
from inference.output_parsers.output_parser import Dialect
from inference.output_parsers.tagged_calls import Tags

if TYPE_CHECKING:
    from inference.output_parsers.scanner import Scanner, Step
    from inference.output_parsers.writer import Writer

_TAGS = Tags(
    key=("<arg_key>", "</arg_key>"),
    value=("<arg_value>", "</arg_value>"),
    end=("</tool_call>",),
)


def _read(scanner: Scanner, writer: Writer) -> Step[None]:
    yield from read_content(scanner, writer, _read_call, begin=("<tool_call>",))


def _read_call(scanner: Scanner, writer: Writer, mark: str) -> Step[None]:
    yield from scanner.space()
    name = yield from scanner.accept(*writer.tools)
    yield from scanner.space()
    if not name or not (yield from scanner.at("<arg_key>", "</tool_call>")):
        return
    scanner.forget()
    writer.begin(name)
    yield from _TAGS.read(scanner, writer, name)


GLM45 = Dialect(
    "glm45",
    _read,
    marks=(
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<think>",
        "</think>",
    ),
    framing=Framing(
        Slots("<tool_call>", "\n", "</tool_call>"),
        separator="\n",
        parameter=Slots("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
        openers=("<tool_call>",),
    ),
)
