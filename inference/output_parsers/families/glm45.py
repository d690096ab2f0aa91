"""GLM 4.5, 4.6 and 4.7, Ling 3.0, Laguna and Spark 2.5: each argument between tags.

    <tool_call>NAME
    <arg_key>KEY</arg_key>
    <arg_value>VALUE</arg_value>
    </tool_call>

A string is written without quotes, every other value as JSON. GLM 4.7 writes no line
breaks.

Source: the chat templates of zai-org/GLM-4.5 and GLM-4.7; llama.cpp's
``common_chat_params_init_glm_4_5``.
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

_TAGS = ArgumentTags(
    key=("<arg_key>", "</arg_key>"),
    value=("<arg_value>", "</arg_value>"),
    end=("</tool_call>",),
)


#: Ling 3.0 spells its control token in text, as llama.cpp's parser has seen.
_TURN_END = "<|role_end|>"


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(
        scanner, writer, _read_call, begin=("<tool_call>",), silent=(_TURN_END,)
    )


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    name = yield from scanner.accept(*writer.tools)
    yield from scanner.space()
    if not name or not (yield from scanner.at("<arg_key>", "</tool_call>")):
        return
    scanner.forget()
    writer.begin(name)
    yield from _TAGS.read(scanner, writer, name)


GLM45 = OutputParser(
    "glm45",
    _read,
    preserved_tokens=(
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<think>",
        "</think>",
        _TURN_END,
    ),
    framing=Framing(
        PairFraming("<tool_call>", "\n", "</tool_call>"),
        separator="\n",
        parameter=PairFraming("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
        openers=("<tool_call>",),
    ),
)
