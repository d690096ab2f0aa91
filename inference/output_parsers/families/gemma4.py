"""Gemma 4: calls in a notation of its own, thoughts on a channel.

    <|channel>thought
    REASONING<channel|>CONTENT<|tool_call>call:NAME{KEY:VALUE,…}<tool_call|>

Keys are bare and in the order of the alphabet, strings stand between ``<|"|>``;
objects, lists, numbers, booleans and null are written as in JSON. The models also think
again between other parts, leave out ``<|tool_call>``, write ``:call:``, or end a call
with the turn, as the parsers of llama.cpp and vLLM have seen.

Source: ai.google.dev/gemma/docs/core/prompt-formatting-gemma4; the chat template of
google/gemma-4-31B-it; llama.cpp's ``common_chat_params_init_gemma4``
(common/parsers/gemma4.cpp).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inference.output_parsers import json_text
from inference.output_parsers.framing import Framing, PairFraming
from inference.output_parsers.notations.notation import Notation
from inference.output_parsers.output_parser import OutputParser
from inference.output_parsers.parameters import as_json, types_of_member
from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner
    from inference.output_parsers.writer import DeltaWriter, ToolSchemas

_BEGIN = "<|tool_call>"
_END = "<tool_call|>"
_CALL = "call:"
_CHANNEL = "<|channel>"
_CHANNEL_END = "<channel|>"
_QUOTE = '<|"|>'
_TAGS = (_BEGIN, _END, _CHANNEL, _CHANNEL_END, _QUOTE)
_MARKS = Delimiters(*_TAGS)
_MARKS_AND_CALLS = Delimiters(*_TAGS, _CALL)
_STRING_END = Delimiters(_QUOTE)
_KEY_END = Delimiters(":", ",", "}", _END)
_VALUE_END = Delimiters(",", "}", "]", _END)
_ARGUMENTS_END = Delimiters(_END)
_REASONING = ReasoningTags(
    (f"{_CHANNEL}thought",), (_CHANNEL_END,), opens_line=True, may_recur=True
)


def _read(scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
    has_bare_calls = writer.tools and not writer.names_first
    delimiters = _MARKS_AND_CALLS if has_bare_calls else _MARKS
    while tag := (yield from scanner.until(delimiters, writer.content)):
        if tag == _CHANNEL and (yield from scanner.at(*_REASONING.begin)):
            yield from _REASONING.read(
                scanner,
                writer,
                is_begun=False,
                read_answer=_read,
                openers=() if writer.names_first else (_BEGIN,),
            )
            continue
        scanner.remember()
        scanner.take(len(tag))
        if tag in (_BEGIN, _CALL):
            yield from _read_call(scanner, writer, tag)
        writer.content(_MARKS.removed_from(scanner.recall()))


def _read_call(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    if tag == _BEGIN:
        yield from scanner.space()
        yield from scanner.accept(f":{_CALL}", _CALL)
    name = yield from scanner.accept(*writer.tools)
    if not name or not (yield from scanner.at("{")):
        return
    scanner.forget()
    writer.begin(name)
    if not (yield from _copy_arguments(scanner, writer.arguments, writer.tools, name)):
        yield from scanner.until(_ARGUMENTS_END, writer.arguments)
    writer.end()
    yield from scanner.space()
    yield from scanner.accept(_END)


def _copy_arguments(
    scanner: TextScanner, sink: Sink, tools: ToolSchemas, tool: str
) -> Parse[bool]:
    """Copy the arguments as JSON. Return whether they are complete.

    Nesting costs memory, not stack.
    """
    closers: list[str] = []
    types: frozenset[str] = frozenset()
    while True:
        yield from scanner.space()
        mark = yield from scanner.at(_QUOTE, '"', "{", "[")
        has_members = True
        if mark in ("{", "["):
            sink(scanner.take(1))
            closers.append("}" if mark == "{" else "]")
            yield from scanner.space()
            has_members = not (yield from scanner.at(closers[-1]))
        elif not (yield from _copy_scalar(scanner, sink, mark, types)):
            return False
        if mark not in ("{", "[") or not has_members:
            if not (yield from _copy_end(scanner, sink, closers)):
                return False
            if not closers:
                return True
        if closers[-1] == "}":
            key = yield from _copy_key(scanner, sink)
            if key is None:
                return False
            is_argument = len(closers) == 1
            types = types_of_member(tools[tool], key) if is_argument else frozenset()
        else:
            types = frozenset()


def _copy_end(scanner: TextScanner, sink: Sink, closers: list[str]) -> Parse[bool]:
    """Copy what follows a value; drop the closers from the list."""
    while closers:
        yield from scanner.space()
        if (yield from scanner.accept(",")):
            yield from scanner.space()
            if not (yield from scanner.at(closers[-1])):
                sink(", ")
                return True
        if not (yield from scanner.accept(closers[-1])):
            return False
        sink(closers.pop())
    return True


def _copy_key(scanner: TextScanner, sink: Sink) -> Parse[str | None]:
    """Copy a key and its colon. Return the key, or None if there is none."""
    key: str | None
    if (yield from scanner.at('"')):
        key = yield from json_text.read_string(scanner)
    else:
        is_quoted = yield from scanner.accept(_QUOTE)
        parts: list[str] = []
        end = _STRING_END if is_quoted else _KEY_END
        yield from scanner.until(end, parts.append)
        if is_quoted:
            yield from scanner.accept(_QUOTE)
        key = "".join(parts).strip()
    yield from scanner.space()
    if key is None or not (yield from scanner.accept(":")):
        return None
    sink(json.dumps(key, ensure_ascii=False) + ": ")
    return key


def _copy_scalar(
    scanner: TextScanner, sink: Sink, mark: str, types: frozenset[str]
) -> Parse[bool]:
    if mark == '"':
        return (yield from json_text.copy_string(scanner, sink))
    if mark == _QUOTE:
        scanner.take(len(_QUOTE))
        sink('"')
        yield from scanner.until(
            _STRING_END, lambda text: sink(json_text.escaped(text))
        )
        if not (yield from scanner.accept(_QUOTE)):
            return False
        sink('"')
        return True
    parts: list[str] = []
    end = yield from scanner.until(_VALUE_END, parts.append)
    text = "".join(parts).strip()
    sink(as_json(text, types) if end and text else "".join(parts))
    return bool(end and text)


NOTATION = Notation(
    PairFraming("", ":", ""),
    quotes=_QUOTE,
    separator=",",
    object=("{", "}"),
    array=("[", "]"),
    is_sorted=True,
)
GEMMA4 = OutputParser(
    "gemma4",
    _read,
    preserved_tokens=_TAGS,
    framing=Framing(
        PairFraming(f"{_BEGIN}{_CALL}", "{", f"}}{_END}"),
        separator="",
        parameter=NOTATION.member,
        notation=NOTATION,
        openers=(_BEGIN,),
    ),
    reasoning=_REASONING,
)
