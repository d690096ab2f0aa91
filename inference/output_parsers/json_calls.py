"""Calls as JSON objects, ``{"name": …, "arguments": {…}}``, or lists of them."""

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

# Small models close more braces than they opened.
_SURPLUS = re.compile(r"[ \t\r\n}\]]*")


class CallOutcome(Enum):
    """Whether a text was a call."""

    NO_CALL = auto()
    CALL = auto()
    #: A call has begun, but its arguments are not JSON from here on.
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The members of a call. An object with another one before its name is no call.

    ``leading`` are members that the format itself writes before the name.
    ``needs_arguments``: nor is one without arguments, or with another one before them.
    """

    name: tuple[str, ...] = ("name",)
    arguments: tuple[str, ...] = ("arguments", "parameters")
    ignored: tuple[str, ...] = ("type", "id", "tool_call_id")
    leading: tuple[str, ...] = ()
    needs_arguments: bool = False


ANY_CALL = CallKeys()


def read_calls(
    scanner: TextScanner, writer: DeltaWriter, keys: CallKeys
) -> Parse[CallOutcome]:
    """Read an object, a list of objects, or objects one after another.

    Returns the outcome of the first one, or BROKEN after a broken one. The scanner
    remembers a later object that is not a call.
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
    """Read one object, with its members in any order."""
    early: list[str] = []  # arguments that stand before the name
    name = ""
    is_begun = has_arguments = False
    yield from scanner.accept("{")
    while True:
        yield from scanner.space()
        key = yield from json_text.read_string(scanner)
        yield from scanner.space()
        if key is None or not (yield from scanner.accept(":")):
            break
        yield from scanner.space()
        if key in keys.name and not name:
            name = yield from _read_name(scanner, writer)
            if not name:
                return CallOutcome.NO_CALL
        elif writer.names_first and not name and key not in keys.leading:
            return CallOutcome.NO_CALL
        elif key in keys.arguments and not has_arguments:
            has_arguments = True
            if name and not is_begun:
                _begin(scanner, writer, name)
                is_begun = True
            sink = writer.arguments if name else early.append
            if not (yield from _copy_arguments(scanner, sink)):
                return CallOutcome.BROKEN if name else CallOutcome.NO_CALL
        elif not is_begun and key not in keys.ignored:
            return CallOutcome.NO_CALL
        elif not (yield from json_text.copy_value(scanner, _ignore)):
            break
        if name and not is_begun and (has_arguments or not keys.needs_arguments):
            _begin(scanner, writer, name)
            is_begun = True
            writer.arguments("".join(early))
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


def _begin(scanner: TextScanner, writer: DeltaWriter, name: str) -> None:
    scanner.forget()
    writer.begin(name)


def _read_name(scanner: TextScanner, writer: DeltaWriter) -> Parse[str]:
    """Return the tool's name, or "" as soon as it cannot be a tool of the request."""
    if not (yield from scanner.accept('"')):
        return ""
    name = yield from scanner.accept(*writer.tools)
    closed = yield from scanner.accept('"')
    return name if closed else ""


def _copy_arguments(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    """Copy the arguments. Return whether they are a complete JSON value.

    Some models write them as OpenAI's API returns them: a string that contains JSON.
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
    """Read the arguments of a call that has begun, up to a tag or the text's end.

    Like OpenAI, pass on what the model wrote even if it is not JSON: the client that
    runs the tool can then report the mistake to the model.
    """
    yield from scanner.space()
    if (yield from scanner.at(*end.texts)):
        writer.arguments("{}")
    elif not (yield from _copy_arguments(scanner, writer.arguments)):
        yield from scanner.until(end, writer.arguments)
    writer.end()
    yield from scanner.run(_SURPLUS)


@dataclass(frozen=True, slots=True)
class TaggedJson:
    """Reads content, and calls as JSON after a tag."""

    begin: tuple[str, ...]
    end: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    keys: CallKeys = CallKeys()

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        yield from read_content(
            scanner, writer, self.read_call, begin=self.begin, silent=self.silent
        )

    def read_call(
        self, scanner: TextScanner, writer: DeltaWriter, tag: str
    ) -> Parse[None]:
        """Read what follows a tag."""
        outcome = yield from read_calls(scanner, writer, self.keys)
        if outcome is CallOutcome.NO_CALL:
            return
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(Delimiters(*self.end), writer.arguments)
            writer.end()
        writer.content(scanner.recall())
        yield from scanner.run(_SURPLUS)
        # Drop the closing tag if it comes before any other tag.
        delimiters = Delimiters(*dict.fromkeys([*self.end, *self.begin, *self.silent]))
        following = yield from scanner.until(delimiters, writer.content)
        if following in self.end:
            yield from scanner.drop(*self.end)


def _ignore(text: str) -> None:
    pass
