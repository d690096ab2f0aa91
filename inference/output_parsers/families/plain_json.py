"""JSON for models whose chat template knows no tools: a format of our own.

    {"name": NAME, "arguments": {…}}

``instructions`` tells the model; it goes into the system message. What a function
has returned is told in a message of the user's, by ``result``.
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
)


def instructions(functions: Iterable[Mapping[str, Any]]) -> str:
    """Return what to tell a model of these functions: OpenAI's ``function`` objects."""
    lines = [json.dumps(function, ensure_ascii=False) for function in functions]
    return _INSTRUCTIONS.format(tools="\n".join(lines))


def result(name: str, content: str) -> str:
    """Return what to tell a model of a function's result."""
    return f"Result of {name}: {content}"
