"""Calls without a tag before them: JSON objects at the beginning of a line.

An object is a call only if it says so at its beginning: it is held back until its first
members have named one of the request's tools, or something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.content import ReadCall, read_content
from inference.output_parsers.json_calls import (
    ANY_CALL,
    CallKeys,
    CallOutcome,
    read_calls,
)
from inference.output_parsers.notations.python_calls import read_python_calls
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_FENCE = "```"
_LANGUAGE = re.compile(r"[A-Za-z_]*")


def _read_nothing(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from ()


@dataclass(frozen=True, slots=True)
class BareJson:
    """Reads content, and calls as JSON in lines of their own or in a code fence.

    ``silent`` are control tokens that may stand before a call; ``read_code`` reads what
    follows one and is not JSON. ``begin`` are tags before calls that ``read_call``
    reads, ``end`` those after them, which may stand alone. ``reads_python``: a list of
    Python's calls is one of calls too, unless a grammar for calls holds.
    """

    silent: tuple[str, ...] = ()
    read_code: ReadCall = _read_nothing
    begin: tuple[str, ...] = ()
    read_call: ReadCall = _read_nothing
    end: tuple[str, ...] = ()
    keys: CallKeys = ANY_CALL
    reads_python: bool = False

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        if not writer.tools:
            yield from read_content(
                scanner, writer, _read_nothing, begin=(), silent=self.silent
            )
            return
        delimiters = Delimiters("\n", *self.silent, *self.begin)
        silent = Delimiters(*self.silent)
        tag = "\n"
        while tag:
            yield from self._read_line(scanner, writer)
            while not scanner.is_remembering:  # what follows a call may be another one
                yield from self._read_line(scanner, writer)
            writer.content(silent.removed_from(scanner.recall()))
            tag = yield from scanner.until(delimiters, writer.content)

    def _read_line(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        """Read calls at the beginning of a line, or after a tag.

        The scanner remembers what is no call.
        """
        scanner.remember()
        yield from scanner.space()
        is_fenced = yield from scanner.accept(_FENCE)
        if is_fenced:
            yield from scanner.run(_LANGUAGE)
            yield from scanner.space()
        opening = yield from scanner.accept(*self.silent, *self.begin)
        if opening in self.begin:
            yield from self.read_call(scanner, writer, opening)
        else:
            yield from self._read_json(scanner, writer, opening)
        if is_fenced and not scanner.is_remembering:
            yield from scanner.space()
            yield from scanner.accept(_FENCE)

    def _read_json(
        self, scanner: TextScanner, writer: DeltaWriter, opening: str
    ) -> Parse[None]:
        yield from scanner.space()
        lists = [f"[{name}(" for name in writer.tools]
        if (
            self.reads_python
            and not writer.names_first
            and (yield from scanner.at(*lists))
        ):
            scanner.take(1)
            yield from read_python_calls(scanner, writer, Delimiters())
            if (yield from scanner.accept("]")):
                scanner.forget()
            return
        if not (yield from scanner.at("{", "[")):
            if opening:
                yield from self.read_code(scanner, writer, opening)
            return
        outcome = yield from read_calls(scanner, writer, self.keys)
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(Delimiters(), writer.arguments)
            writer.end()
        if not scanner.is_remembering:
            yield from scanner.drop(*self.end)
