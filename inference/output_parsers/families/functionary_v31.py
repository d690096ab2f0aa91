"""Functionary v3.1 and v3.2.

    <function=NAME>{…}</function>                      v3.1
    >>>all                                             v3.2
    CONTENT>>>NAME
    {…}

Format: the chat templates of meetkai/functionary-medium-v3.1 and v3.2. In v3.1 the
tool ``python`` may get ``<|python_tag|>`` and code instead; v3.2's prompt ends with
the first ``>>>``. A line of content that begins with ``>>>`` and no recipient,
such as Python's prompt, is content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.families.llama3 import PYTHON_TAG, read_tagged
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_END = "</function>"
_TO = ">>>"
_EVERYBODY = "all"


def _read_v31(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(
        scanner,
        writer,
        _read_call,
        begin=("<function=", PYTHON_TAG),
        silent=(PYTHON_TAG,),
    )


def _read_call(scanner: TextScanner, writer: DeltaWriter, mark: str) -> Parse[None]:
    if mark == PYTHON_TAG:
        yield from read_tagged(scanner, writer, mark)
        return
    name = yield from scanner.accept(*writer.tools)
    if not name or not (yield from scanner.accept(">")):
        return
    scanner.forget()
    writer.begin(name)
    yield from read_arguments(scanner, writer, Delimiters(_END))
    yield from scanner.accept(_END)


def _read_v32(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    recipients = [f"{name}\n" for name in (_EVERYBODY, *writer.tools)]
    marks = Delimiters(*(_TO + recipient for recipient in recipients))
    mark = yield from scanner.accept(*marks.texts, *recipients)
    while True:
        name = mark.removeprefix(_TO).rstrip()
        if name in writer.tools:
            writer.begin(name)
            yield from read_arguments(scanner, writer, marks)
        mark = yield from scanner.until(marks, writer.content)
        if not mark:
            return
        scanner.take(len(mark))
        writer.separate()


FUNCTIONARY_V31 = OutputParser(
    "functionary_v31",
    _read_v31,
    preserved_tokens=("<function=", _END, PYTHON_TAG, "<think>", "</think>"),
    framing=Framing(
        PairFraming("<function=", ">", _END),
        separator="",
        openers=("<function=", PYTHON_TAG),
    ),
)
FUNCTIONARY_V32 = OutputParser(
    "functionary_v32",
    _read_v32,
    preserved_tokens=(_TO, "<think>", "</think>"),
    framing=Framing(
        PairFraming("", "\n", ""), separator=_TO, before_content=f"{_EVERYBODY}\n"
    ),
)
