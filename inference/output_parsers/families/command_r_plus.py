"""Command R and R+: a JSON list of actions in a code fence.

    Action:
    ```json
    [
        {
            "tool_name": NAME,
            "parameters": {…}
        }
    ]```

An action may also be ``directly-answer``, which is no tool of the request: then the
text stays content. The template numbers no calls, so they have no ids.

Source: the tool-use chat template of CohereForAI/c4ai-command-r-plus; llama.cpp's tests
of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import CallKeys, CallOutcome, read_calls
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_BEGIN = "Action:"
_FENCE = "```"
_KEYS = CallKeys(name=("tool_name", "name"))


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,))


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    yield from scanner.accept(f"{_FENCE}json", _FENCE)
    yield from scanner.space()
    outcome = yield from read_calls(scanner, writer, _KEYS)
    if outcome is CallOutcome.NO_CALL:
        return
    if outcome is CallOutcome.BROKEN:
        yield from scanner.until(Delimiters(_FENCE), writer.arguments)
        writer.end()
    writer.content(scanner.recall())
    yield from scanner.drop(_FENCE)


COMMAND_R_PLUS = OutputParser(
    "command_r_plus",
    _read,
    preserved_tokens=("<think>", "</think>"),
    framing=Framing(
        PairFraming(
            '    {\n        "tool_name": "', '",\n        "parameters": ', "\n    }"
        ),
        begin=f"{_BEGIN}\n{_FENCE}json\n[\n",
        separator=",\n",
        end=f"\n]{_FENCE}",
        openers=(_BEGIN,),
    ),
)
