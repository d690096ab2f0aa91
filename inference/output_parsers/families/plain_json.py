"""Models whose chat template has no place for tools: a format of our own.

    {"name": NAME, "arguments": {…}}

``instructions`` explains the format to the model in the system message. ``result``
puts the result of a call into a user message. llama.cpp does the same in
``common_chat_params_init_generic``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inference.output_parsers.bare_calls import BareJson
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INSTRUCTIONS = """\
You can call functions. Each line below describes one, with a JSON schema of its \
parameters.

{tools}

To call a function, answer with nothing but a JSON object in one line:
{{"name": "<name of the function>", "arguments": {{<its arguments>}}}}
Several calls go in several lines. Where no function helps, answer in plain text."""

PLAIN_JSON = OutputParser(
    "plain_json",
    BareJson().read,
    preserved_tokens=("<think>", "</think>"),
    framing=Framing(
        PairFraming('{"name": "', '", "arguments": ', "}"),
        separator="\n",
    ),
    call_starts=("\n",),
)


def instructions(functions: Iterable[Mapping[str, Any]]) -> str:
    """Return a system message about these functions: OpenAI's ``function`` objects."""
    lines = [json.dumps(function, ensure_ascii=False) for function in functions]
    return _INSTRUCTIONS.format(tools="\n".join(lines))


def result(name: str, content: str) -> str:
    """Return a user message with a function's result."""
    return f"Result of {name}: {content}"
