"""MiniCPM 5: a tag with the tool's name, and a tag for each argument.

    <function name="NAME"><param name="KEY">VALUE</param></function>

A string is written without quotes; one that has ``<``, ``&`` or a line break stands in
``<![CDATA[`` and ``]]>``.

Source: the chat template of openbmb/MiniCPM5-1B; llama.cpp's
``common_chat_params_init_minicpm5``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.tagged_calls import ArgumentTags

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = '<function name="'
_TAGS = ArgumentTags(
    key=('<param name="', '">'),
    value=("", "</param>"),
    end=("</function>",),
    quotes=("<![CDATA[", "]]>"),
)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,))


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    name = yield from scanner.accept(*writer.tools)
    if not name or not (yield from scanner.accept('">')):
        return
    scanner.forget()
    writer.begin(name)
    yield from _TAGS.read(scanner, writer, name)


MINICPM5 = OutputParser(
    "minicpm5",
    _read,
    preserved_tokens=(
        "<function",
        "</function>",
        "<param",
        "</param>",
        "<think>",
        "</think>",
    ),
    framing=Framing(
        PairFraming(_BEGIN, '">', "</function>"),
        separator="\n",
        parameter=PairFraming('<param name="', '">', "</param>"),
        openers=(_BEGIN,),
    ),
)
