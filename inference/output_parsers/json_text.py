"""JSON as models write it, checked and repaired while it arrives.

The model's own text is passed on, so that it can be streamed. Three mistakes are
repaired, because models make them and every client's parser rejects them: raw control
characters in strings (models write line breaks into code), backslashes that begin no
escape, and Python's True, False and None.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from inference.output_parsers.text_scanner import SPACE, TextScanner

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Parse, Sink

_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_SCALAR = re.compile(r"[-+.\w]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_HEX = re.compile(r"\\u[0-9a-fA-F]{4}")
_WORDS = {
    "true": "true",
    "false": "false",
    "null": "null",
    "True": "true",
    "False": "false",
    "None": "null",
}


def copy_value(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    """Copy one JSON value. Return whether it is complete.

    If not, the text ends in the value or continues with something that is not JSON;
    the sink has what was read so far. Nesting costs memory, not stack.
    """
    closers: list[str] = []
    # What may come next: V for a value, K for a key, or one of these characters.
    wanted = "V"
    while True:
        yield from scanner.copy(SPACE, sink)
        char = yield from scanner.peek()
        if char and char in wanted and char in ":,]}":
            sink(scanner.take(1))
            if char in ":,":
                wanted = "K" if char == "," and closers[-1] == "}" else "V"
                continue
            closers.pop()
        elif char == '"' and wanted[0] in "VK":
            if not (yield from copy_string(scanner, sink)):
                return False
            if wanted[0] == "K":
                wanted = ":"
                continue
        elif wanted[0] != "V":
            return False
        elif char in ("{", "["):
            sink(scanner.take(1))
            closers.append("}" if char == "{" else "]")
            wanted = "K}" if char == "{" else "V]"
            continue
        elif not (yield from _copy_scalar(scanner, sink)):
            return False
        if not closers:
            return True
        wanted = "," + closers[-1]


def copy_string(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    """Copy a string, from quote to quote. Return whether it is complete."""
    sink(scanner.take(1))
    while True:
        yield from scanner.copy(_PLAIN, sink)
        escape = yield from scanner.peek()
        if escape == "\\":
            escape = yield from scanner.peek(2)
        if escape == "\\u":
            escape = yield from scanner.peek(6)
        if escape in ("", "\\"):
            sink(scanner.take(1))
            return False
        if escape == '"':
            sink(scanner.take(1))
            return True
        if escape[0] != "\\":
            sink(escaped(scanner.take(1)))
        elif (len(escape) == 2 and escape[1] in '"\\/bfnrt') or _HEX.fullmatch(escape):
            sink(scanner.take(len(escape)))
        else:
            sink("\\" + scanner.take(1))


def read_string(scanner: TextScanner) -> Parse[str | None]:
    """Return the value of the string that comes next, or None if there is none."""
    if (yield from scanner.peek()) != '"':
        return None
    parts: list[str] = []
    if not (yield from copy_string(scanner, parts.append)):
        return None
    text: str = json.loads("".join(parts))
    return text


def whole_value(text: str) -> str | None:
    """Return the text as repaired JSON, or None if it is not a JSON value."""
    scanner = TextScanner()
    scanner.feed(text)
    scanner.close()
    parts: list[str] = []
    copying = copy_value(scanner, parts.append)
    try:
        next(copying)
    except StopIteration as stop:
        if stop.value and not scanner.take(len(text)).strip():
            return "".join(parts)
    return None


def _copy_scalar(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    word = yield from scanner.run(_SCALAR)
    sink(_WORDS.get(word, word))
    return word in _WORDS or bool(_NUMBER.fullmatch(word))


def escaped(text: str) -> str:
    """Return the text escaped, as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
