"""Granite 3.x: a JSON list of calls after a control token.

    <|tool_call|>[{"name": NAME, "arguments": {…}}, …]

Granite 3.1 writes ``<tool_call>`` instead. Granite 3.3 puts its reasoning between
``<think>`` tags and its answer between ``<response>`` tags. Granite 3.2 begins them
with sentences, which quantised models shorten (seen by vLLM's
granite_reasoning_parser). Granite 4 uses the format of Hermes.

Source: the chat templates of ibm-granite/granite-3.3-2b-instruct and 3.1; llama.cpp's
``common_chat_params_init_granite``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import TaggedJson
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
    calls = TaggedJson(
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
