"""Calls whose arguments stand between tags, like XML but with nothing escaped.

So a value may contain anything, the tags too. The tag that closes it is one where
the format goes on after it; small models also leave it out, and then the value
ends where the next of the tool's parameters, or the end of the call, has a line
of its own.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.output_parsers.parameters import ObjectWriter
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_KEY = re.compile(r"[^<>\r\n]*")


@dataclass(frozen=True, slots=True)
class ArgumentTags:
    """The tags before and after a key and a value, and those that end a call.

    ``has_lines``: a line break on either side of a value belongs to the tags.
    """

    key: tuple[str, str]
    value: tuple[str, str]
    end: tuple[str, ...]
    has_lines: bool = False

    def read(self, scanner: TextScanner, writer: DeltaWriter, tool: str) -> Parse[None]:
        """Read the arguments of the call that was begun last, and its end."""
        arguments = ObjectWriter(writer, tool)
        marks = Delimiters(self.key[0], *self.end)
        strays: list[str] = []
        while True:
            yield from scanner.space()
            mark = yield from scanner.until(marks, strays.append)
            scanner.take(len(mark))
            if mark != self.key[0]:
                break
            key = yield from scanner.run(_KEY)
            if not (yield from scanner.accept(self.key[1])):
                strays += (mark, key)
                continue
            if self.value[0]:
                yield from scanner.space()
                yield from scanner.accept(self.value[0])
            read_value = functools.partial(
                self._read_value, scanner, arguments.missing()
            )
            if not (yield from arguments.write(key.strip(), read_value)):
                break
        if mark in self.end:
            arguments.close()
            writer.end()
            for tag in self.end[1:]:
                yield from scanner.space()
                yield from scanner.accept(tag)
        writer.content("".join(strays))

    def _read_value(
        self, scanner: TextScanner, other_keys: list[str], sink: Sink
    ) -> Parse[bool]:
        """Read a value and the tag after it. Return whether it is complete."""
        closing, implied = [self.value[1]], []
        if self.has_lines:
            yield from scanner.accept("\n")
            closing.append("\n" + self.value[1])
            implied = [f"\n{self.key[0]}{key}{self.key[1]}" for key in other_keys]
            implied.append("\n" + "\n".join(self.end))
        marks = Delimiters(*closing, *implied)
        while mark := (yield from scanner.until(marks, sink)):
            if mark in implied:
                return True
            text = scanner.take(len(mark)) + (yield from scanner.space())
            is_last = not (yield from scanner.peek())
            if is_last or (yield from scanner.at(self.key[0], *self.end)):
                return True
            sink(text)
        return False
