"""Calls that are JSON objects: ``{"name": …, "arguments": {…}}``, or lists of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from inference.output_parsers import json_text
from inference.output_parsers.content import read_content
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner
    from inference.output_parsers.writer import DeltaWriter

# Small models close more braces than they have opened.
_SURPLUS = re.compile(r"[ \t\r\n}\]]*")


class CallOutcome(Enum):
    """What came of reading a call."""

    NO_CALL = auto()
    CALL = auto()
    #: It has begun, and its arguments are no JSON from here on.
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The members of a call. One that is not named before the name: no call."""

    name: tuple[str, ...] = ("name",)
    arguments: tuple[str, ...] = ("arguments", "parameters")
    ignored: tuple[str, ...] = ("type", "id", "tool_call_id")


def read_calls(
    scanner: TextScanner, writer: DeltaWriter, keys: CallKeys
) -> Parse[CallOutcome]:
    """Read an object, a list of objects, or objects one after another.

    Returns what came of the first, and BROKEN after a broken one. Where a later
    one is no call, the scanner remembers it.
    """
    outcome = CallOutcome.NO_CALL
    yield from scanner.space()
    is_list = yield from scanner.accept("[")
    yield from scanner.space()
    while (yield from scanner.at("{")):
        if outcome is CallOutcome.CALL:
            scanner.remember()
        latest = yield from _read_call(scanner, writer, keys)
        if latest is CallOutcome.NO_CALL:
            return outcome
        outcome = latest
        if outcome is CallOutcome.BROKEN:
            return outcome
        yield from scanner.space()
        yield from scanner.accept(",", ";")
        yield from scanner.space()
    if is_list and outcome is CallOutcome.CALL:
        yield from scanner.accept("]")
    return outcome


def _read_call(
    scanner: TextScanner, writer: DeltaWriter, keys: CallKeys
) -> Parse[CallOutcome]:
    """Read one object; its members may come in any order."""
    early: list[str] = []  # arguments that came before the name
    is_begun = has_arguments = False
    yield from scanner.accept("{")
    while True:
        yield from scanner.space()
        key = yield from json_text.read_string(scanner)
        yield from scanner.space()
        if key is None or not (yield from scanner.accept(":")):
            break
        yield from scanner.space()
        if key in keys.name and not is_begun:
            name = yield from _read_name(scanner, writer)
            if not name:
                return CallOutcome.NO_CALL
            is_begun = True
            scanner.forget()
            writer.begin(name)
            writer.arguments("".join(early))
        elif writer.names_first and not is_begun:
            return CallOutcome.NO_CALL
        elif key in keys.arguments and not has_arguments:
            has_arguments = True
            sink = writer.arguments if is_begun else early.append
            if not (yield from _copy_arguments(scanner, sink)):
                return CallOutcome.BROKEN if is_begun else CallOutcome.NO_CALL
        elif not is_begun and key not in keys.ignored:
            return CallOutcome.NO_CALL
        elif not (yield from json_text.copy_value(scanner, _ignore)):
            break
        yield from scanner.space()
        if not (yield from scanner.accept(",")):
            break
    is_closed = yield from scanner.accept("}")
    if not is_begun:
        return CallOutcome.NO_CALL
    if not has_arguments:
        if not is_closed:
            return CallOutcome.BROKEN
        writer.arguments("{}")
    writer.end()
    return CallOutcome.CALL


def _read_name(scanner: TextScanner, writer: DeltaWriter) -> Parse[str]:
    """Return the tool's name; "" as soon as it can be none that the request has."""
    if not (yield from scanner.accept('"')):
        return ""
    name = yield from scanner.accept(*writer.tools)
    closed = yield from scanner.accept('"')
    return name if closed else ""


def _copy_arguments(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    """Copy the arguments. Return whether they are a complete JSON value.

    Some models write them as OpenAI's API returns them: as JSON in a string.
    """
    if (yield from scanner.at("{")):
        return (yield from json_text.copy_value(scanner, sink))
    parts: list[str] = []
    is_complete = yield from json_text.copy_value(scanner, parts.append)
    text = "".join(parts)
    if is_complete and text in ("null", '""'):
        text = "{}"
    elif is_complete and text.startswith('"'):
        inner = json_text.whole_value(json.loads(text))
        text = inner if inner and inner.lstrip().startswith("{") else text
    sink(text)
    return is_complete


def read_arguments(
    scanner: TextScanner, writer: DeltaWriter, end: Delimiters
) -> Parse[None]:
    """Read the arguments of a call that has begun, up to a mark or the text's end.

    They are passed on as the model wrote them also where they are no JSON, as
    OpenAI does: whoever runs the tool can tell the model what is wrong.
    """
    yield from scanner.space()
    if (yield from scanner.at(*end.texts)):
        writer.arguments("{}")
    elif not (yield from _copy_arguments(scanner, writer.arguments)):
        yield from scanner.until(end, writer.arguments)
    writer.end()
    yield from scanner.run(_SURPLUS)


@dataclass(frozen=True, slots=True)
class MarkedJson:
    """Content, and calls as JSON after a mark."""

    begin: tuple[str, ...]
    end: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    keys: CallKeys = CallKeys()

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        """Read the answer."""
        yield from read_content(
            scanner, writer, self._read_call, begin=self.begin, silent=self.silent
        )

    def _read_call(
        self, scanner: TextScanner, writer: DeltaWriter, mark: str
    ) -> Parse[None]:
        outcome = yield from read_calls(scanner, writer, self.keys)
        if outcome is CallOutcome.NO_CALL:
            return
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(Delimiters(*self.end), writer.arguments)
            writer.end()
        writer.content(scanner.recall())
        yield from scanner.run(_SURPLUS)
        # The closing mark, wherever it is, if it comes before another.
        marks = Delimiters(*dict.fromkeys([*self.end, *self.begin, *self.silent]))
        following = yield from scanner.until(marks, writer.content)
        if following in self.end:
            scanner.take(len(following))


def _ignore(text: str) -> None:
    pass
