"""Mistral, Ministral and Magistral: one tag, two formats after it.

    [TOOL_CALLS][{"name": NAME, "arguments": {…}}, …]          up to tokenizer v7
    [TOOL_CALLS]NAME[ARGS]{…}[TOOL_CALLS]NAME[ARGS]{…}         from tokenizer v11
    [TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{…}                       Mistral Small 3.2

Ids have nine letters and digits; the templates reject others. Magistral puts its
reasoning between ``[THINK]`` tags, its first release (2506) between ``<think>`` tags.

Source: the chat templates of mistralai/Mistral-Nemo-Instruct-2407,
Mistral-Small-3.2-24B-Instruct-2506 and Ministral-3-14B-Reasoning-2512; llama.cpp's
``common_chat_params_init_mistral_nemo``, ``…_magistral`` and ``…_ministral_3``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.ids import mistral_id
from inference.output_parsers.json_calls import (
    CallKeys,
    CallOutcome,
    read_arguments,
    read_calls,
)
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = "[TOOL_CALLS]"
_TAGS = (_BEGIN, "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]")
_NEXT = Delimiters(_BEGIN)
_ID = re.compile(r"[0-9a-zA-Z]*")
_ID_LENGTH = 9


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,), silent=_TAGS)


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    if (yield from scanner.at("[", "{", *_TAGS)) in ("[", "{"):
        outcome = yield from read_calls(scanner, writer, CallKeys())
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(_NEXT, writer.arguments)
            writer.end()
        return
    name = yield from scanner.accept(*writer.tools)
    call_id = ""
    if (yield from scanner.accept("[CALL_ID]")):
        call_id = yield from scanner.run(_ID)
    yield from scanner.space()
    if not name or not (yield from scanner.at("[ARGS]", "{")):
        return
    scanner.forget()
    writer.begin(name, call_id if len(call_id) == _ID_LENGTH else "")
    yield from scanner.accept("[ARGS]")
    yield from read_arguments(scanner, writer, _NEXT)


def _parser(name: str, framing: Framing) -> OutputParser:
    return OutputParser(
        name,
        _read,
        preserved_tokens=(*_TAGS, "<think>", "</think>"),
        framing=framing,
        reasoning=ReasoningTags(("[THINK]", "<think>"), ("[/THINK]", "</think>")),
        new_id=mistral_id,
    )


MISTRAL = _parser(
    "mistral",
    Framing(
        PairFraming('{"name": "', '", "arguments": ', "}"),
        begin=_BEGIN + "[",
        separator=", ",
        end="]",
        openers=(_BEGIN,),
    ),
)
MISTRAL_V11 = _parser(
    "mistral_v11",
    Framing(PairFraming(_BEGIN, "[ARGS]", ""), separator="", openers=(_BEGIN,)),
)
