"""Hunyuan 3: the arguments of GLM 4.5, in tags that have a suffix.

    <tool_calls:opensource>
    <tool_call:opensource>NAME<tool_sep:opensource>
    <arg_key:opensource>KEY</arg_key:opensource>
    <arg_value:opensource>VALUE</arg_value:opensource>
    </tool_call:opensource>
    </tool_calls:opensource>

A string is written without quotes, every other value as JSON. Reasoning is between
``<think:opensource>`` tags. The template makes the tags from a name and the suffix.

Source: the chat template of tencent/Hy3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.output_parsers.content import read_content
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.tagged_calls import ArgumentTags

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter


def _tags(name: str) -> tuple[str, str]:
    return f"<{name}:opensource>", f"</{name}:opensource>"


_CALLS = _tags("tool_calls")
_CALL = _tags("tool_call")
_SEPARATOR = _tags("tool_sep")[0]
_KEY = _tags("arg_key")
_VALUE = _tags("arg_value")
_THINK = _tags("think")
_ARGUMENTS = ArgumentTags(key=_KEY, value=_VALUE, end=(_CALL[1], _CALLS[1]))


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    yield from read_content(
        scanner, writer, _read_call, begin=(_CALL[0],), silent=_CALLS
    )


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from scanner.space()
    name = yield from scanner.accept(*writer.tools)
    yield from scanner.space()
    if not name or not (yield from scanner.at(_SEPARATOR, _KEY[0], _CALL[1])):
        return
    scanner.forget()
    writer.begin(name)
    yield from scanner.accept(_SEPARATOR)
    yield from _ARGUMENTS.read(scanner, writer, name)


HUNYUAN3 = OutputParser(
    "hunyuan3",
    _read,
    preserved_tokens=(*_CALLS, *_CALL, _SEPARATOR, *_KEY, *_VALUE, *_THINK),
    framing=Framing(
        PairFraming(_CALL[0], f"{_SEPARATOR}\n", f"{_CALL[1]}\n"),
        begin=f"{_CALLS[0]}\n",
        separator="",
        end=_CALLS[1],
        parameter=PairFraming(_KEY[0], f"{_KEY[1]}\n{_VALUE[0]}", f"{_VALUE[1]}\n"),
        openers=(_CALLS[0], _CALL[0]),
    ),
    reasoning=ReasoningTags((_THINK[0],), (_THINK[1],)),
)
