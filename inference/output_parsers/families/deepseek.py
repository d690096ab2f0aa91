"""DeepSeek V2.5, V3 and R1, and the shorter format of V3.1. One reader reads both.

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME
    ```json
    {…}
    ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

V3.1::

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>…

Their templates show calls, but have no place for tools. The model card of V3.1 says how
tools are described to it; V3 and R1 get the same text with their own format.

Source: the chat templates of deepseek-ai/DeepSeek-R1 and DeepSeek-V3.1; the model card
of DeepSeek-V3.1, "ToolCall"; llama.cpp's ``common_chat_params_init_deepseek_r1`` and
``…_deepseek_v3_1``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import THINK, ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.output_parsers.output_parser import Instructions
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_CALLS_BEGIN = "<｜tool▁calls▁begin｜>"
_CALLS_END = "<｜tool▁calls▁end｜>"
_BEGIN = "<｜tool▁call▁begin｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_END = "<｜tool▁call▁end｜>"
_TAGS = (_CALLS_BEGIN, _BEGIN, _SEPARATOR, _END, _CALLS_END)
_ARGUMENTS_END = Delimiters("\n```" + _END, _END, _CALLS_END)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,), silent=_TAGS)


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    name = yield from scanner.accept("function" + _SEPARATOR, *writer.tools)
    is_fenced = name.endswith(_SEPARATOR)
    if is_fenced:
        name = yield from scanner.accept(*writer.tools)
    yield from scanner.space()
    end = ("```json", "```", "{") if is_fenced else (_SEPARATOR,)
    if not name or not (yield from scanner.at(*end)):
        return
    scanner.forget()
    writer.begin(name)
    yield from scanner.accept("```json", "```", _SEPARATOR)
    yield from read_arguments(scanner, writer, _ARGUMENTS_END)
    if is_fenced:
        yield from scanner.accept("```")


_TOOLS = """\
## Tools
You have access to the following tools:

{tools}
IMPORTANT: ALWAYS adhere to this exact format for tool use:
{format}

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters \
Schema
- For multiple tool calls, {several}
"""
_TOOL = """\
### {name}
Description: {description}

Parameters: {parameters}
"""


def _instructions(call: PairFraming, several: str) -> Instructions:
    written = call.fill("tool_call_name", "tool_call_arguments")

    def instructions(functions: Sequence[Mapping[str, Any]]) -> str:
        tools = (
            _TOOL.format(
                name=each["name"],
                description=each.get("description", ""),
                parameters=json.dumps(each.get("parameters", {}), ensure_ascii=False),
            )
            for each in functions
        )
        return _TOOLS.format(
            tools="\n".join(tools),
            format=f"{_CALLS_BEGIN}{written}{_CALLS_END}",
            several=several,
        )

    return instructions


def _parser(
    name: str, call: PairFraming, separator: str, several: str, reasoning: ReasoningTags
) -> OutputParser:
    return OutputParser(
        name,
        _read,
        preserved_tokens=(*_TAGS, "<think>", "</think>"),
        framing=Framing(
            call,
            begin=_CALLS_BEGIN,
            separator=separator,
            end=_CALLS_END,
            openers=(_CALLS_BEGIN, _BEGIN),
        ),
        reasoning=reasoning,
        instructions=_instructions(call, several),
    )


DEEPSEEK_V3 = _parser(
    "deepseek_v3",
    PairFraming(f"{_BEGIN}function{_SEPARATOR}", "\n```json\n", f"\n```{_END}"),
    "\n",
    "put each on a new line",
    THINK,
)
DEEPSEEK_V31 = _parser(
    "deepseek_v31",
    PairFraming(_BEGIN, _SEPARATOR, _END),
    "",
    "chain them directly without separators or spaces",
    ReasoningTags(("<think>",), ("</think>",)),
)
