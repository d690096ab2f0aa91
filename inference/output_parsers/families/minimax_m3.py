"""MiniMax M3: arguments as nested elements, each tag with a mark before it.

    MARK<tool_call>
    MARK<invoke name="NAME">MARK<KEY>VALUEMARK</KEY>…MARK</invoke>
    MARK</tool_call>

where MARK is ``]<]minimax[>[``. The members of an object are elements of their names,
the items of a list are elements ``item``. A string is written without quotes; where the
schema allows a string, the value is one. A model that does not think writes the closing
tag of its reasoning alone.

Source: the chat template of MiniMaxAI/MiniMax-M3; llama.cpp's
``common_chat_params_init_minimax_m3`` (common/parsers/minimax-m3.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.notations.elements import copy_elements
from inference.output_parsers.notations.notation import Notation
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_MARK = "]<]minimax[>["
_TAGS = ("<tool_call>", "</tool_call>")
_BEGIN, _END = (_MARK + tag for tag in _TAGS)
_INVOKE = f'{_MARK}<invoke name="'
_INVOKE_END = f"{_MARK}</invoke>"
_CALL_END = Delimiters(_INVOKE_END)
_THINK = ("<mm:think>", "</mm:think>")


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(
        scanner, writer, _read_call, begin=(_INVOKE,), silent=(_BEGIN, _END, *_THINK)
    )


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    name = yield from scanner.accept(*writer.tools)
    if not name or not (yield from scanner.accept('">')):
        return
    scanner.forget()
    writer.begin(name)
    is_complete = yield from copy_elements(
        scanner, writer.arguments, _MARK, "invoke", writer.tools[name]
    )
    if not is_complete:
        yield from scanner.until(_CALL_END, writer.arguments)
        yield from scanner.accept(_INVOKE_END)
    writer.end()
    yield from scanner.drop(_INVOKE_END)


_NOTATION = Notation(
    PairFraming(f"{_MARK}<", ">", f"{_MARK}</", after_name=">"),
    item=(f"{_MARK}<item>", f"{_MARK}</item>"),
)
MINIMAX_M3 = OutputParser(
    "minimax_m3",
    _read,
    preserved_tokens=(_MARK, *_TAGS, *_THINK),
    framing=Framing(
        PairFraming(_INVOKE, '">', _INVOKE_END),
        begin=f"{_BEGIN}\n",
        separator="\n",
        end=f"\n{_END}",
        parameter=_NOTATION.member,
        notation=_NOTATION,
        openers=(_BEGIN, _INVOKE),
    ),
    reasoning=ReasoningTags(_THINK[:1], _THINK[1:], ends_alone=True),
)
