"""Functionary v3.2: messages to recipients, a line with the recipient before each.

    >>>all
    CONTENT>>>NAME
    {…}

The prompt ends with the first ``>>>``. A line that begins with ``>>>`` but names no
recipient is content: it may be a prompt of Python's.

Source: the chat template of meetkai/functionary-medium-v3.2; llama.cpp's
``common_chat_params_init_functionary_v3_2``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_TO = ">>>"
_EVERYBODY = "all"


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    recipients = [f"{name}\n" for name in (_EVERYBODY, *writer.tools)]
    delimiters = Delimiters(*(_TO + recipient for recipient in recipients))
    tag = yield from scanner.accept(*delimiters.texts, *recipients)
    while True:
        name = tag.removeprefix(_TO).rstrip()
        if name in writer.tools:
            writer.begin(name)
            yield from read_arguments(scanner, writer, delimiters)
        tag = yield from scanner.until(delimiters, writer.content)
        if not tag:
            return
        scanner.take(len(tag))
        writer.separate()


FUNCTIONARY_V32 = OutputParser(
    "functionary_v32",
    _read,
    preserved_tokens=(_TO, "<think>", "</think>"),
    framing=Framing(
        PairFraming("", "\n", ""), separator=_TO, before_content=f"{_EVERYBODY}\n"
    ),
    call_starts=(_TO, "\n"),
)
