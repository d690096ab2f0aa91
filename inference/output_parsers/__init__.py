"""Dialects: what models write, taken apart into content, reasoning and tool calls.

dialect = detect(chat_template, architecture)
parser = dialect.parser({"get_weather": schema}, starts_in_reasoning=False)
deltas = parser.push(text)          # as the text comes
deltas = parser.finish()            # at its end
"""

from inference.output_parsers.deltas import (
    Content,
    Delta,
    Reasoning,
    ToolCallArguments,
    ToolCallBegin,
)
from inference.output_parsers.framing import Framing, Slots
from inference.output_parsers.output_parser import Dialect, Parser

__all__ = [
    "Content",
    "Delta",
    "Dialect",
    "Framing",
    "Parser",
    "Reasoning",
    "Slots",
    "ToolCallArguments",
    "ToolCallBegin",
]
