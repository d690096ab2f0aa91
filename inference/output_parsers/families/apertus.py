"""Apertus: a JSON list of calls, in which a tool's name is the key of its arguments.

    <|inner_prefix|>REASONING<|tools_prefix|>[{NAME: {…}}, …]<|tools_suffix|>
    <|inner_prefix|>REASONING<|inner_suffix|>CONTENT

A call ends the answer, in the midst of its reasoning.

Source: the chat template of swiss-ai/Apertus-8B-Instruct-2509; llama.cpp's
tests/test-chat.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = "<|tools_prefix|>"
_END = "<|tools_suffix|>"
_TAGS = (_BEGIN, _END, "<|inner_prefix|>", "<|inner_suffix|>")
_ARGUMENTS_END = Delimiters(_END)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_calls, begin=(_BEGIN,), silent=_TAGS)


def _read_calls(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    yield from scanner.accept("[")
    yield from scanner.space()
    while (yield from scanner.accept("{")):
        yield from scanner.space()
        yield from scanner.accept('"')
        name = yield from scanner.accept(*writer.tools)
        if not name or not (yield from scanner.accept('"')):
            return
        yield from scanner.space()
        if not (yield from scanner.accept(":")):
            return
        scanner.forget()
        writer.begin(name)
        yield from read_arguments(scanner, writer, _ARGUMENTS_END)
        scanner.remember()
        yield from scanner.accept(",")
        yield from scanner.space()
    if (yield from scanner.at(_END)):
        scanner.forget()


APERTUS = OutputParser(
    "apertus",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming('{"', '": ', "}"),
        begin=f"{_BEGIN}[",
        separator=", ",
        end=f"]{_END}",
        openers=(_BEGIN,),
    ),
    reasoning=ReasoningTags(("<|inner_prefix|>",), ("<|inner_suffix|>",)),
)
