"""LFM2 and LFM2.5: a list of calls as Python writes them, between tags.

    <|tool_call_start|>[NAME(KEY=VALUE, …), …]<|tool_call_end|>

Where a system message asks for JSON, the models write a list of
``{"name": NAME, "arguments": {…}}`` between the same tags. The template of LFM2 has no
place for earlier calls; they are part of the text.

Source: the chat templates of LiquidAI/LFM2-8B-A1B, LFM2.5-1.2B-Instruct and
LFM2.5-8B-A1B; llama.cpp's ``common_chat_params_init_lfm2`` (common/parsers/lfm2.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import PYTHON, Framing, PairFraming
from inference.output_parsers.json_calls import CallKeys, CallOutcome, read_calls
from inference.output_parsers.notations.python_calls import read_python_calls
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = "<|tool_call_start|>"
_END = "<|tool_call_end|>"
_TAGS = (_BEGIN, _END)
_CALLS_END = Delimiters(_END)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_calls, begin=(_BEGIN,), silent=_TAGS)


def _read_calls(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    yield from scanner.accept("[")
    yield from scanner.space()
    if (yield from scanner.at("{")):
        outcome = yield from read_calls(scanner, writer, CallKeys())
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(_CALLS_END, writer.arguments)
            writer.end()
        is_call = outcome is not CallOutcome.NO_CALL
    else:
        is_call = yield from read_python_calls(scanner, writer, _CALLS_END)
    if is_call:
        yield from scanner.space()
        yield from scanner.accept("]")
        yield from scanner.space()
        if (yield from scanner.accept(_END)):
            scanner.forget()


LFM2 = OutputParser(
    "lfm2",
    _read,
    preserved_tokens=(*_TAGS, "<think>", "</think>"),
    framing=Framing(
        PairFraming("", "(", ")"),
        begin=f"{_BEGIN}[",
        separator=", ",
        end=f"]{_END}",
        parameter=PairFraming("", "=", ""),
        notation=PYTHON,
        openers=(_BEGIN,),
    ),
    reasoning=ReasoningTags(("<think>",), ("</think>",)),
)
