"""Hermes 2 and 3, Qwen 2.5 and 3, QwQ, SmolLM3, Granite 4 and many others.

    <tool_call>
    {"name": NAME, "arguments": {…}}
    </tool_call>

Hermes' own prompt puts the arguments before the name. Apriel and MiniMax M1 put all
calls between ``<tool_calls>`` tags, as a list or one a line. Small models leave out the
closing tag, close too many braces, or write a list where one call belongs.

Source: the chat templates of NousResearch/Hermes-3-Llama-3.1-8B and Qwen/Qwen3-8B;
llama.cpp's ``common_chat_params_init_hermes_2_pro``.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import TaggedJson
from inference.output_parsers.output_parser import OutputParser

_BEGIN = ("<tool_call>", "<tool_calls>")
_END = ("</tool_call>", "</tool_calls>")

HERMES = OutputParser(
    "hermes",
    TaggedJson(begin=_BEGIN, end=_END).read,
    preserved_tokens=(*_BEGIN, *_END, "<think>", "</think>"),
    framing=Framing(
        PairFraming('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"),
        separator="\n",
        openers=_BEGIN,
    ),
)
