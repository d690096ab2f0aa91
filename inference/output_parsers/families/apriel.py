"""Apriel 1.5 and 1.6: a JSON list of calls between tags, after reasoning in prose.

    Here are my reasoning steps:
    REASONING
    [BEGIN FINAL RESPONSE]
    CONTENT
    <tool_calls>[{"name": NAME, "arguments": {…}}, …]</tool_calls>

The prompt of 1.6 ends with the first line. 1.5 puts the reasoning before a call between
``<thinking>`` tags, and ``[END FINAL RESPONSE]`` after its answer.

Source: the chat templates of ServiceNow-AI/Apriel-1.5-15b-Thinker and
Apriel-1.6-15b-Thinker; llama.cpp's tests of both.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import TaggedJson
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags

_BEGIN, _END = "<tool_calls>", "</tool_calls>"
_RESPONSE = ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]")
_REASONING = ReasoningTags(
    ("Here are my reasoning steps:", "<thinking>"),
    (_RESPONSE[0], "</thinking>"),
    has_lines=True,
)

APRIEL = OutputParser(
    "apriel",
    TaggedJson(begin=(_BEGIN,), end=(_END,), silent=_RESPONSE).read,
    preserved_tokens=(_BEGIN, _END, *_RESPONSE, "<thinking>", "</thinking>"),
    framing=Framing(
        PairFraming('{"name": "', '", "arguments": ', "}"),
        begin=f"{_BEGIN}[",
        separator=", ",
        end=f"]{_END}",
        openers=(_BEGIN,),
    ),
    reasoning=_REASONING,
)
