"""Kimi K3: sections between tags that have names and attributes.

    REASONING<|close|>think<|sep|><|open|>response<|sep|>CONTENT<|close|>response<|sep|>
    <|open|>tools<|sep|><|open|>call tool="NAME" index="1"<|sep|>
    <|open|>argument key="KEY" type="TYPE"<|sep|>VALUE<|close|>argument<|sep|>
    <|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|><|end_of_msg|>

(without these line breaks). The prompt ends with ``<|open|>think<|sep|>``, or with
``<|open|>response<|sep|>`` where thinking is off. A string is written as it is, every
other value as JSON. Arguments may also be one ``json`` section. Attributes have ``&``
and ``"`` escaped.

Source: the chat template of moonshotai/Kimi-K3; llama.cpp's
``common_chat_params_init_kimi_k3``.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.json_calls import read_arguments
from inference.output_parsers.notations.pair_framing import TYPE
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.parameters import ObjectWriter
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_OPEN = "<|open|>"
_CLOSE = "<|close|>"
_SEPARATOR = "<|sep|>"
_TAGS = (_OPEN, _CLOSE, _SEPARATOR, "<|end_of_msg|>")
_ANY_TAG = Delimiters(*_TAGS)

_HEAD = re.compile(r"[^<]*")
_ATTRIBUTE = re.compile(r'\b(\w+)="([^"]*)"')
_SECTIONS = {"message", "response", "tools", "think", "call", "argument", "json"}


def _opened(name: str) -> str:
    return f"{_OPEN}{name}{_SEPARATOR}"


def _closed(name: str) -> str:
    return f"{_CLOSE}{name}{_SEPARATOR}"


_VALUE_END = Delimiters(_closed("argument"), _closed("call"))
_JSON_END = Delimiters(_closed("json"), _closed("call"))
_THOUGHT_END = Delimiters(_closed("think"), _opened("response"), _opened("tools"))


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    while tag := (yield from scanner.until(_ANY_TAG, writer.content)):
        scanner.remember()
        scanner.take(len(tag))
        name, attributes = yield from _read_head(scanner)
        if name not in _SECTIONS or tag not in (_OPEN, _CLOSE):
            writer.content(_ANY_TAG.removed_from(scanner.recall()))
        elif tag == _OPEN and name == "call":
            tool = attributes.get("tool", "")
            if tool in writer.tools:
                scanner.forget()
                writer.begin(tool)
                yield from _read_call(scanner, writer, tool)
            else:
                writer.content(_ANY_TAG.removed_from(scanner.recall()))
        else:
            scanner.forget()
            writer.separate()
            if tag == _OPEN and name == "think":
                writer.is_reasoning = True
                yield from scanner.until(_THOUGHT_END, writer.reasoning)
                writer.is_reasoning = False


def _read_head(scanner: TextScanner) -> Parse[tuple[str, dict[str, str]]]:
    """Return the name and the attributes of a tag; "" if it does not end."""
    head = yield from scanner.run(_HEAD)
    if not (yield from scanner.accept(_SEPARATOR)):
        return "", {}
    name, _, rest = head.partition(" ")
    return name, {key: _plain(value) for key, value in _ATTRIBUTE.findall(rest)}


def _plain(value: str) -> str:
    return value.replace("&quot;", '"').replace("&amp;", "&")


def _read_call(scanner: TextScanner, writer: DeltaWriter, tool: str) -> Parse[None]:
    arguments = ObjectWriter(writer, tool)
    while True:
        yield from scanner.space()
        tag = yield from scanner.accept(_OPEN, _CLOSE)
        if not tag:
            return
        name, attributes = yield from _read_head(scanner)
        if tag == _OPEN and name == "argument" and "key" in attributes:
            key, read_value = attributes["key"], functools.partial(_read_value, scanner)
            is_text = attributes["type"] == "string" if "type" in attributes else None
            if not (yield from arguments.write(key, read_value, is_text=is_text)):
                return
        elif tag == _OPEN and name == "json":
            yield from read_arguments(scanner, writer, _JSON_END)
            yield from scanner.drop(*_JSON_END.texts)
            return
        elif name != "argument":
            arguments.close()
            writer.end()
            return


def _read_value(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    tag = yield from scanner.until(_VALUE_END, sink)
    if tag == _VALUE_END.texts[0]:
        scanner.take(len(tag))
    return bool(tag)


KIMI_K3 = OutputParser(
    "kimi_k3",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming(f'{_OPEN}call tool="', f'" index="1"{_SEPARATOR}', _closed("call")),
        begin=_closed("response") + _opened("tools"),
        separator="",
        end=_closed("tools"),
        parameter=PairFraming(
            f'{_OPEN}argument key="',
            f'" type="{TYPE}"{_SEPARATOR}',
            _closed("argument"),
        ),
        openers=(
            _closed("response") + _opened("tools"),
            _opened("tools"),
            f'{_OPEN}call tool="',
        ),
        after_reasoning=_opened("response"),
    ),
    reasoning=ReasoningTags(
        (_opened("think"),),
        (_closed("think"),),
        stops=(_opened("response"),),
    ),
)
