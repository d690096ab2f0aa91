"""Output parsers: split what a model writes into content, reasoning and tool calls.

    output_parser = families.detect(chat_template, architecture)
    parser = output_parser.for_answer({"get_weather": schema})
    deltas = parser.push(text)          # as the text arrives
    deltas = parser.finish()            # when it has ended

``families`` has one module per model family and the list of them; it imports this
package, never the other way round.
"""

from inference.output_parsers.deltas import (
    ContentDelta,
    Delta,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallBegin,
)
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import AnswerParser, OutputParser

__all__ = [
    "AnswerParser",
    "ContentDelta",
    "Delta",
    "Framing",
    "OutputParser",
    "PairFraming",
    "ReasoningDelta",
    "ToolCallArguments",
    "ToolCallBegin",
]
