"""Kimi K2, Instruct and Thinking: calls whose ids the model writes itself.

    <|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:INDEX
    <|tool_call_argument_begin|>{…}<|tool_call_end|>…<|tool_calls_section_end|>

(in one line). The template prints the id of a call with its result, and the model
continues the numbering that it sees. So the id of a call is the model's own text. Kimi
K2.7 writes ``functions_NAME_INDEX``.

Source: the chat template and docs/tool_call_guidance.md of moonshotai/Kimi-K2-Instruct;
llama.cpp's ``common_chat_params_init_kimi_k2``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.ids import kimi_id
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from collections.abc import Container

    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_SECTION_BEGIN = "<|tool_calls_section_begin|>"
_SECTION_END = "<|tool_calls_section_end|>"
_BEGIN = "<|tool_call_begin|>"
_ARGUMENTS = "<|tool_call_argument_begin|>"
_END = "<|tool_call_end|>"
# The models also write the section's tags in the singular, seen by vLLM.
_SINGULAR = ("<|tool_call_section_begin|>", "<|tool_call_section_end|>")
_TAGS = (_SECTION_BEGIN, _BEGIN, _ARGUMENTS, _END, _SECTION_END, *_SINGULAR)
_ARGUMENTS_END = Delimiters(_END, _SECTION_END, *_SINGULAR)
_ID = re.compile(r"[^\s<]*")
_PREFIXES = ("functions.", "functions_", "")
_INDEXED = re.compile(r"(.+)[:_]([0-9]{1,8})")


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,), silent=_TAGS)


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    text = yield from scanner.run(_ID)
    name, call_id = _call_of(text, writer.tools)
    yield from scanner.space()
    if not name or not (yield from scanner.accept(_ARGUMENTS)):
        return
    scanner.forget()
    writer.begin(name, call_id)
    yield from read_arguments(scanner, writer, _ARGUMENTS_END)


def _call_of(text: str, tools: Container[str]) -> tuple[str, str]:
    """Return the tool that an id names, or "", and the id of the call, or ""."""
    if text in tools:
        return text, ""
    for prefix in _PREFIXES:
        inner = text.removeprefix(prefix)
        if not text.startswith(prefix):
            continue
        if (found := _INDEXED.fullmatch(inner)) and found[1] in tools:
            name, index = found.groups()
            return name, text if prefix else kimi_id(name, int(index))
        if inner in tools:
            return inner, ""
    return "", ""


KIMI_K2 = OutputParser(
    "kimi_k2",
    _read,
    preserved_tokens=(*_TAGS, "<think>", "</think>"),
    framing=Framing(
        PairFraming(f"{_BEGIN}functions.", f":0{_ARGUMENTS}", _END),
        begin=_SECTION_BEGIN,
        end=_SECTION_END,
        openers=(_SECTION_BEGIN, _BEGIN),
    ),
    new_id=kimi_id,
)
