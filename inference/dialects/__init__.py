"""Dialects: what models write, taken apart into content, reasoning and tool calls.

dialect = detect(chat_template, architecture)
parser = dialect.parser({"get_weather": schema}, starts_in_reasoning=False)
deltas = parser.push(text)          # as the text comes
deltas = parser.finish()            # at its end
"""

from inference.dialects.deltas import (
    Content,
    Delta,
    Reasoning,
    ToolCallArguments,
    ToolCallBegin,
)
from inference.dialects.detection import DIALECTS, detect
from inference.dialects.dialect import Dialect, Parser
from inference.dialects.framing import Framing, Slots

__all__ = [
    "DIALECTS",
    "Content",
    "Delta",
    "Dialect",
    "Framing",
    "Parser",
    "Reasoning",
    "Slots",
    "ToolCallArguments",
    "ToolCallBegin",
    "detect",
]
