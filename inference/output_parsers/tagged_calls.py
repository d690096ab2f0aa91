"""Arguments between tags: like XML, but nothing is escaped.

So a value may contain any text, even the tags. A closing tag counts only if the format
continues after it. Small models leave it out; then the value ends at a line that begins
the next parameter of the tool, or ends the call. Others write it twice.
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


@dataclass(frozen=True, slots=True)
class ArgumentTags:
    """The tags around a key and around a value, and those that end a call.

    ``has_lines``: a line break before and after a value belongs to the tags. Instead of
    the tag after a key may stand one that says that the value is text, or JSON.
    ``quotes`` may stand around a value; then it ends only after the second.
    """

    key: tuple[str, str]
    value: tuple[str, str]
    end: tuple[str, ...]
    has_lines: bool = False
    before_text: str = ""
    before_json: str = ""
    quotes: tuple[str, str] = ("", "")

    def read(self, scanner: TextScanner, writer: DeltaWriter, tool: str) -> Parse[None]:
        """Read the arguments of the latest call, and its end."""
        arguments = ObjectWriter(writer, tool)
        delimiters = Delimiters(self.key[0], *self.end)
        strays: list[str] = []
        while True:
            yield from scanner.space()
            tag = yield from scanner.until(delimiters, strays.append)
            scanner.take(len(tag))
            if tag != self.key[0]:
                break
            key = yield from scanner.run(_up_to(self.key[1]))
            after = yield from scanner.accept(*filter(None, self._after_key))
            if not after:
                strays += (tag, key)
                continue
            is_text = after == self.before_text if after != self.key[1] else None
            if self.value[0]:
                yield from scanner.space()
                yield from scanner.accept(self.value[0])
            read_value = functools.partial(
                self._read_value, scanner, arguments.missing()
            )
            key = key.strip()
            if not (yield from arguments.write(key, read_value, is_text=is_text)):
                break
        if tag in self.end:
            arguments.close()
            writer.end()
            yield from scanner.drop(*self.end)
        writer.content("".join(strays))

    @property
    def _after_key(self) -> tuple[str, str, str]:
        return self.key[1], self.before_text, self.before_json

    def _read_value(
        self, scanner: TextScanner, other_keys: list[str], sink: Sink
    ) -> Parse[bool]:
        """Read a value and the tag after it. Return whether it is complete."""
        if self.quotes[0] and (yield from scanner.accept(self.quotes[0])):
            return (yield from self._read_quoted(scanner, sink))
        closing, implied = [self.value[1]], []
        if self.has_lines:
            yield from scanner.accept("\n")
            closing.append("\n" + self.value[1])
            implied = [f"\n{self.key[0]}{key}{self.key[1]}" for key in other_keys]
            implied.append("\n" + "\n".join(self.end))
        delimiters = Delimiters(*closing, *implied)
        while tag := (yield from scanner.until(delimiters, sink)):
            if tag in implied:
                return True
            text = scanner.take(len(tag)) + (yield from scanner.space())
            while again := (yield from scanner.accept(self.value[1])):
                text += again + (yield from scanner.space())
            is_last = not (yield from scanner.peek())
            if is_last or (yield from scanner.at(self.key[0], *self.end)):
                return True
            sink(text)
        return False

    def _read_quoted(self, scanner: TextScanner, sink: Sink) -> Parse[bool]:
        delimiters = Delimiters(self.quotes[1])
        while tag := (yield from scanner.until(delimiters, sink)):
            text = scanner.take(len(tag)) + (yield from scanner.space())
            is_last = not (yield from scanner.peek())
            if (yield from scanner.accept(self.value[1])) or is_last:
                yield from scanner.drop(self.value[1])
                return True
            sink(text)
        return False


@functools.cache
def _up_to(after_key: str) -> re.Pattern[str]:
    """Return the characters that a key may have before this tag."""
    return re.compile(rf"[^<>\r\n{re.escape(after_key[0])}]*")
