"""Nemotron Nano v2: a JSON list of calls between tags.

    <TOOLCALL>[{"name": NAME, "arguments": {…}}, …]</TOOLCALL>

Nemotron 3 uses the format of Qwen3-Coder.

Source: the chat template of nvidia/NVIDIA-Nemotron-Nano-9B-v2; llama.cpp's
tests/test-chat.cpp.
"""

from __future__ import annotations

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import TaggedJson
from inference.output_parsers.output_parser import OutputParser

_BEGIN = "<TOOLCALL>"
_END = "</TOOLCALL>"

NEMOTRON_V2 = OutputParser(
    "nemotron_v2",
    TaggedJson(begin=(_BEGIN,), end=(_END,)).read,
    preserved_tokens=(_BEGIN, _END, "<think>", "</think>"),
    framing=Framing(
        PairFraming('{"name": "', '", "arguments": ', "}"),
        begin=f"{_BEGIN}[",
        separator=", ",
        end=f"]{_END}",
        openers=(_BEGIN,),
    ),
)
