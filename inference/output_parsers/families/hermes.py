"""Hermes 2 and 3, Qwen 2.5 and 3, QwQ, SmolLM3, Granite 4 and many others.

    <tool_call>
    {"name": NAME, "arguments": {…}}
    </tool_call>

Hermes' own prompt puts the arguments before the name. Apriel and MiniMax M1 put all
calls between ``<tool_calls>`` tags, as a list or one a line. Small models leave out the
closing tag, close too many braces, or write a list where one call belongs.

Qwen2.5-Coder has the template, but writes calls between ``<tools>`` tags, in a code
fence, or in a line without any mark. Without a mark, an object is a call only if it has
a tool's name and arguments.

Source: the chat templates of NousResearch/Hermes-3-Llama-3.1-8B and Qwen/Qwen3-8B;
llama.cpp's ``common_chat_params_init_hermes_2_pro``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.bare_calls import BareJson
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import CallKeys, TaggedJson
from inference.output_parsers.output_parser import OutputParser

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = ("<tool_call>", "<tool_calls>", "<tools>")
_END = ("</tool_call>", "</tool_calls>", "</tools>")
_TAGGED = TaggedJson(begin=_BEGIN, end=_END)
_ANYWHERE = BareJson(
    begin=_BEGIN,
    read_call=_TAGGED.read_call,
    end=_END,
    keys=CallKeys(needs_arguments=True),
)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    # A grammar for strict tools keeps their calls behind a mark.
    reader = _TAGGED if writer.names_first else _ANYWHERE
    yield from reader.read(scanner, writer)


HERMES = OutputParser(
    "hermes",
    _read,
    preserved_tokens=(*_BEGIN, *_END, "<think>", "</think>"),
    framing=Framing(
        PairFraming('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"),
        separator="\n",
        openers=_BEGIN,
    ),
    call_starts=("\n",),
)
