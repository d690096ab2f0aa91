"""Command R7B, Command A and North: a JSON list of actions between tags.

    <|START_THINKING|>REASONING<|END_THINKING|><|START_ACTION|>[
        {"tool_call_id": "0", "tool_name": NAME, "parameters": {…}}
    ]<|END_ACTION|>

An answer without calls is ``<|START_RESPONSE|>CONTENT<|END_RESPONSE|>``; later models
write ``TEXT`` for ``RESPONSE``. The template numbers the calls of a conversation
itself, so the ids that the model writes are dropped.

Source: the tool-use chat template of CohereForAI/c4ai-command-r7b-12-2024; llama.cpp's
``common_chat_params_init_command_r7b``.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import CallKeys, TaggedJson
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags

_TAGS = (
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
    TaggedJson(
        begin=("<|START_ACTION|>",),
        end=("<|END_ACTION|>",),
        silent=_TAGS,
        keys=CallKeys(name=("tool_name", "name"), leading=("tool_call_id",)),
    ).read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming('{"tool_call_id": "0", "tool_name": "', '", "parameters": ', "}"),
        begin="<|START_ACTION|>[\n    ",
        end="\n]<|END_ACTION|>",
        openers=("<|START_ACTION|>",),
    ),
    reasoning=ReasoningTags(("<|START_THINKING|>",), ("<|END_THINKING|>",)),
)
