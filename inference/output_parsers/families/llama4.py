"""Llama 4: JSON objects, or a list of calls as Python writes them.

    <|python_start|>CONTENT<|python_end|>{"name": NAME, "parameters": {…}}
    [NAME(KEY=VALUE, …), …]

The tags may be missing. Which form the model writes depends on what its template asks
for: Meta's asks for JSON, one of vLLM's for Python.

Source: the chat template of meta-llama/Llama-4-Scout-17B-16E-Instruct; vLLM's
tool_chat_template_llama4_pythonic.jinja and its tests of llama4_pythonic.
"""

from __future__ import annotations

from inference.output_parsers.bare_calls import BareJson
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser

_TAGS = ("<|python_start|>", "<|python_end|>")

LLAMA4 = OutputParser(
    "llama4",
    BareJson(silent=_TAGS, reads_python=True).read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming('{"name": "', '", "parameters": ', "}"), separator="\n"
    ),
    call_starts=("\n", *_TAGS),
)
