"""DeepSeek V2.5, V3 and R1, and V3.1, which writes less around a call.

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME
    ```json
    {…}
    ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>…

Format: the chat templates of deepseek-ai/DeepSeek-R1 and DeepSeek-V3.1. One
machine reads both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, Slots
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import Dialect
from inference.output_parsers.scanner import Marks

if TYPE_CHECKING:
    from inference.output_parsers.scanner import Scanner, Step
    from inference.output_parsers.writer import Writer

_CALLS_BEGIN = "<｜tool▁calls▁begin｜>"
_CALLS_END = "<｜tool▁calls▁end｜>"
_BEGIN = "<｜tool▁call▁begin｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_END = "<｜tool▁call▁end｜>"
_MARKS = (_CALLS_BEGIN, _BEGIN, _SEPARATOR, _END, _CALLS_END)
_ARGUMENTS_END = Marks("\n```" + _END, _END, _CALLS_END)


def _read(scanner: Scanner, writer: Writer) -> Step[None]:
    yield from read_content(scanner, writer, _read_call, begin=(_BEGIN,), silent=_MARKS)


def _read_call(scanner: Scanner, writer: Writer, mark: str) -> Step[None]:
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


def _dialect(name: str, call: Slots, separator: str) -> Dialect:
    return Dialect(
        name,
        _read,
        marks=(*_MARKS, "<think>", "</think>"),
        framing=Framing(
            call,
            begin=_CALLS_BEGIN,
            separator=separator,
            end=_CALLS_END,
            openers=(_CALLS_BEGIN, _BEGIN),
        ),
    )


DEEPSEEK_V3 = _dialect(
    "deepseek_v3",
    Slots(f"{_BEGIN}function{_SEPARATOR}", "\n```json\n", f"\n```{_END}"),
    "\n",
)
DEEPSEEK_V31 = _dialect("deepseek_v31", Slots(_BEGIN, _SEPARATOR, _END), "")
