"""Solar Open: messages of three kinds, with JSON arguments in calls.

    <|think|>REASONING<|end|><|begin|>assistant<|content|>CONTENT<|end|>
    <|begin|>assistant<|tool_calls|><|tool_call:begin|>ID<|tool_call:name|>NAME
    <|tool_call:args|>{…}<|tool_call:end|><|calls|>

(without these line breaks). The prompt ends with the first ``<|begin|>assistant``. Ids
have ten lower-case letters and digits.

Source: the chat template of upstage/Solar-Open-100B; vLLM's solar_open_tool_parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.ids import solar_id
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_MESSAGE = "<|begin|>"
_THINK = "<|think|>"
_CONTENT = "<|content|>"
_END = "<|end|>"
_CALLS = "<|tool_calls|>"
_CALLS_END = "<|calls|>"
_CALL = "<|tool_call:begin|>"
_NAME = "<|tool_call:name|>"
_ARGUMENTS = "<|tool_call:args|>"
_CALL_END = "<|tool_call:end|>"
_TAGS = (
    *(_MESSAGE, _THINK, _CONTENT, _END, _CALLS, _CALLS_END),
    *(_CALL, _NAME, _ARGUMENTS, _CALL_END),
)
_ANY_TAG = Delimiters(*_TAGS)
_THOUGHT_END = Delimiters(_END, _MESSAGE, _CONTENT, _CALLS, _CALL)
_ARGUMENTS_END = Delimiters(_CALL_END, _CALL, _CALLS_END, _END)
_ID_TEXT = re.compile(r"[^\s<]*")
_ID = re.compile(r"[a-z0-9]{10}")


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    while tag := (yield from scanner.until(_ANY_TAG, writer.content)):
        scanner.remember()
        scanner.take(len(tag))
        if tag == _MESSAGE:
            yield from scanner.accept("assistant")
            scanner.forget()
            writer.separate()
        elif tag == _THINK:
            scanner.forget()
            writer.is_reasoning = True
            yield from scanner.until(_THOUGHT_END, writer.reasoning)
            writer.is_reasoning = False
        elif tag == _CALL:
            yield from _read_call(scanner, writer)
        writer.content(_ANY_TAG.removed_from(scanner.recall()))


def _read_call(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    call_id = yield from scanner.run(_ID_TEXT)
    if not (yield from scanner.accept(_NAME)):
        return
    name = yield from scanner.accept(*writer.tools)
    yield from scanner.space()
    if not name or not (yield from scanner.accept(_ARGUMENTS)):
        return
    scanner.forget()
    writer.begin(name, call_id if _ID.fullmatch(call_id) else "")
    yield from read_arguments(scanner, writer, _ARGUMENTS_END)


SOLAR_OPEN = OutputParser(
    "solar_open",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming(f"{_CALL}a1b2c3d4e5{_NAME}", _ARGUMENTS, _CALL_END),
        begin=_CALLS,
        separator="",
        end=_CALLS_END,
        after_reasoning=f"{_MESSAGE}assistant",
        before_content=_CONTENT,
    ),
    reasoning=ReasoningTags(
        (_THINK,),
        (_END,),
        stops=(_MESSAGE, _CONTENT, _CALLS, _CALL),
        may_recur=True,
    ),
    new_id=solar_id,
)
