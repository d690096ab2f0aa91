"""Calls without a tag before them: JSON objects at the beginning of a line.

An object is a call only if it says so at its beginning: it is held back until its first
members have named one of the request's tools, or something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.content import ReadCall, read_content
from inference.output_parsers.json_calls import CallKeys, CallOutcome, read_calls
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_FENCES = ("```json", "```")


def _read_nothing(scanner: TextScanner, writer: DeltaWriter, tag: str) -> Parse[None]:
    yield from ()


@dataclass(frozen=True, slots=True)
class BareJson:
    """Reads content, and calls as JSON in lines of their own or in a code fence.

    ``tags`` are control tokens that may stand before a call. ``read_tagged`` reads
    what follows a tag and is not JSON.
    """

    tags: tuple[str, ...] = ()
    read_tagged: ReadCall = _read_nothing

    def read(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[None]:
        if not writer.tools:
            yield from read_content(
                scanner, writer, _read_nothing, begin=(), silent=self.tags
            )
            return
        delimiters, tags = Delimiters("\n", *self.tags), Delimiters(*self.tags)
        tag = "\n"
        while tag:
            if not (yield from self._read_line(scanner, writer)):
                writer.content(tags.removed_from(scanner.recall()))
                tag = yield from scanner.until(delimiters, writer.content)

    def _read_line(self, scanner: TextScanner, writer: DeltaWriter) -> Parse[bool]:
        """Read calls at the beginning of a line. Return whether there were any."""
        scanner.remember()
        yield from scanner.space()
        opening = yield from scanner.accept(*_FENCES, *self.tags)
        yield from scanner.space()
        if not (yield from scanner.at("{", "[")):
            if opening in self.tags:
                yield from self.read_tagged(scanner, writer, opening)
            return False
        outcome = yield from read_calls(scanner, writer, CallKeys())
        if outcome is CallOutcome.NO_CALL:
            return False
        if outcome is CallOutcome.BROKEN:
            yield from scanner.until(Delimiters(), writer.arguments)
            writer.end()
        if opening in _FENCES:
            yield from scanner.space()
            yield from scanner.accept("```")
        return True
