"""Granite 3.x: a list of calls, in earlier versions after a control token.

    <|tool_call|>[{"name": NAME, "arguments": {…}}, …]

Format: the chat templates of ibm-granite/granite-3.3-2b-instruct (``<|tool_call|>``)
and 3.1 (``<tool_call>``). Reasoning: 3.3 writes ``<think>…</think>`` and then
``<response>…</response>``; 3.2 writes sentences instead of tags, also abbreviated
(vLLM's granite_reasoning_parser has seen quantised models do so). Granite 4 is
Hermes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import MarkedJson
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_REASONING = ReasoningTags(
    ("<think>", "Here is my thought process:", "Here's my thought process:"),
    ("</think>", "Here is my response:", "Here's my response:"),
)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    writer.content((yield from scanner.space()))
    is_wrapped = yield from scanner.accept("<response>")
    calls = MarkedJson(
        begin=("<|tool_call|>", "<tool_call>"),
        end=("</tool_call>",),
        silent=("<|tool_call|>", *(("</response>",) if is_wrapped else ())),
    )
    yield from calls.read(scanner, writer)


GRANITE = OutputParser(
    "granite",
    _read,
    preserved_tokens=(
        "<|tool_call|>",
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
    ),
    framing=Framing(
        PairFraming('{"name": "', '", "arguments": ', "}"),
        begin="<|tool_call|>[",
        separator=", ",
        end="]",
        openers=("<|tool_call|>", "<tool_call>"),
    ),
    reasoning=_REASONING,
)
