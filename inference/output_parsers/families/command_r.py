"""Command R7B, Command A and North: actions, responses and thinking in marks.

    <|START_THINKING|>…<|END_THINKING|><|START_ACTION|>[
        {"tool_call_id": "0", "tool_name": NAME, "parameters": {…}}
    ]<|END_ACTION|>
    <|START_RESPONSE|>…<|END_RESPONSE|>

Format: the tool-use chat template of CohereForAI/c4ai-command-r7b-12-2024; later
models write ``START_TEXT`` for the response. The template counts a conversation's
calls itself, so the ids that the model writes are not needed.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import CallKeys, MarkedJson
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags

_MARKS = (
    "<|START_THINKING|>",
    "<|END_THINKING|>",
    "<|START_ACTION|>",
    "<|END_ACTION|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
)

COMMAND_R = OutputParser(
    "command_r",
    MarkedJson(
        begin=("<|START_ACTION|>",),
        end=("<|END_ACTION|>",),
        silent=_MARKS,
        keys=CallKeys(name=("tool_name", "name")),
    ).read,
    preserved_tokens=_MARKS,
    framing=Framing(
        PairFraming('{"tool_call_id": "0", "tool_name": "', '", "parameters": ', "}"),
        begin="<|START_ACTION|>[\n    ",
        end="\n]<|END_ACTION|>",
        openers=("<|START_ACTION|>",),
    ),
    reasoning=ReasoningTags(("<|START_THINKING|>",), ("<|END_THINKING|>",)),
)
