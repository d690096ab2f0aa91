"""Functionary v3.1: a tag with the tool's name, around JSON arguments.

    <function=NAME>{…}</function>

The tool ``python`` may get ``<|python_tag|>`` and code instead, as in Llama 3.

Source: the chat template of meetkai/functionary-medium-v3.1; llama.cpp's
``common_chat_params_init_functionary_v3_1_llama_3_1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.families.llama3 import PYTHON_TAG, read_python_tag
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_END = "</function>"


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(
        scanner,
        writer,
        _read_call,
        begin=("<function=", PYTHON_TAG),
        silent=(PYTHON_TAG,),
    )


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    if tag == PYTHON_TAG:
        yield from read_python_tag(scanner, writer, tag)
        return
    name = yield from scanner.accept(*writer.tools)
    if not name or not (yield from scanner.accept(">")):
        return
    scanner.forget()
    writer.begin(name)
    yield from read_arguments(scanner, writer, Delimiters(_END))
    yield from scanner.drop(_END)


FUNCTIONARY_V31 = OutputParser(
    "functionary_v31",
    _read,
    preserved_tokens=("<function=", _END, PYTHON_TAG, "<think>", "</think>"),
    framing=Framing(
        PairFraming("<function=", ">", _END),
        separator="",
        openers=("<function=", PYTHON_TAG),
    ),
)
