"""MiniMax M2: each argument between tags.

    <minimax:tool_call>
    <invoke name="NAME">
    <parameter name="KEY">VALUE</parameter>
    </invoke>
    </minimax:tool_call>

Source: the chat template of MiniMaxAI/MiniMax-M2; llama.cpp's tests/test-chat.cpp.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.tagged_calls import ArgumentTags
from inference.output_parsers.tagged_functions import Invocations

_BEGIN = "<minimax:tool_call>"
_END = "</minimax:tool_call>"
_INVOKE = '<invoke name="'
_INVOKE_END = "</invoke>"

MINIMAX_M2 = OutputParser(
    "minimax_m2",
    Invocations(
        _INVOKE,
        ArgumentTags(
            key=('<parameter name="', '">'),
            value=("", "</parameter>"),
            end=(_INVOKE_END,),
        ),
        around=(_BEGIN, _END),
    ).read,
    preserved_tokens=(_BEGIN, _END, "<think>", "</think>"),
    framing=Framing(
        PairFraming(_INVOKE, '">\n', _INVOKE_END),
        begin=f"{_BEGIN}\n",
        separator="\n",
        end=f"\n{_END}",
        parameter=PairFraming('<parameter name="', '">', "</parameter>\n"),
        openers=(_BEGIN, _INVOKE),
    ),
)
