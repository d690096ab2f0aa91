"""Values as Python writes them, in calls ``NAME(KEY=VALUE, …)``.

Strings stand between quotes of either kind, once or three times. Models also write
JSON's ``true``, ``false`` and ``null``, and leave quotes in a string as they are: so a
quote ends a string only if the call goes on after it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from typing import TYPE_CHECKING, Any

from inference.output_parsers import json_text
from inference.output_parsers.parameters import as_json
from inference.output_parsers.text_scanner import Delimiters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.output_parsers.text_scanner import Parse, Sink, TextScanner

_WORDS = {"True": "true", "False": "false", "None": "null"}
_QUOTES = ("'''", '"""', "'", '"')
_PLAIN = {quote: re.compile(rf"[^\\{quote[0]}]*") for quote in _QUOTES}
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_VALUE_END = Delimiters(",", ")", "]", "}")
_KEY_END = Delimiters(":", ",", "}")
_NUMBER = re.compile(
    r"[-+]?(?:0[xXoObB][0-9a-fA-F_]{1,99}|[0-9._]{1,99}(?:[eE][-+]?[0-9]{1,9})?)"
)
_LEADING_ZEROS = re.compile(r"^([-+]?)0+(?=[0-9])")
#: Escapes of one character, and the number of digits of those that have a number.
_ESCAPES = dict(zip("abfnrtv\\'\"\n", "\a\b\f\n\r\t\v\\'\"\0", strict=True))
_DIGITS = {"x": 2, "u": 4, "U": 8}
#: How far to look for what follows a quote.
_LOOK_AHEAD = 100


def write_arguments(arguments: Mapping[str, Any]) -> str:
    """Return the arguments of a call, without the brackets around them."""
    return ", ".join(f"{key}={write(value)}" for key, value in arguments.items())


def write(value: Any) -> str:
    """Return a value: True, False or None, or JSON, which is close to Python."""
    if isinstance(value, bool) or value is None:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def copy_value(scanner: TextScanner, sink: Sink, types: frozenset[str]) -> Parse[bool]:
    """Copy the value of an argument, as JSON. Return whether it is complete.

    ``types`` are the JSON types that its schema allows; they decide what a word without
    quotes is. If the value is not complete, the sink has what was read so far. Nesting
    costs memory, not stack.
    """
    closers: list[str] = []
    while True:
        yield from scanner.space()
        char = yield from scanner.peek()
        if char and char in _BRACKETS:
            closers.append(_BRACKETS[scanner.take(1)])
            sink("{" if char == "{" else "[")
            yield from scanner.space()
            if (yield from scanner.peek()) != closers[-1]:
                if char == "{" and not (yield from _copy_key(scanner, sink)):
                    return False
                continue
        elif char and char in "'\"":
            if not (yield from _copy_string(scanner, sink, is_inner=bool(closers))):
                return False
        elif not (yield from _copy_word(scanner, sink, types, is_inner=bool(closers))):
            return False
        if not (yield from _copy_end(scanner, sink, closers)):
            return False
        if not closers:
            return True


def _copy_end(scanner: TextScanner, sink: Sink, closers: list[str]) -> Parse[bool]:
    """Copy what follows a value, up to the next one; drop the closers from the list."""
    while closers:
        yield from scanner.space()
        if not (yield from scanner.accept(",")):
            if not (yield from scanner.accept(closers[-1])):
                return False
        else:
            yield from scanner.space()
            if not (yield from scanner.accept(closers[-1])):
                sink(", ")
                if closers[-1] == "}":
                    return (yield from _copy_key(scanner, sink))
                return True
        sink("}" if closers.pop() == "}" else "]")
    return True


def _copy_key(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    if (yield from scanner.at(*_QUOTES)):
        if not (yield from _copy_string(scanner, sink, is_inner=True)):
            return False
    else:
        parts: list[str] = []
        yield from scanner.until(_KEY_END, parts.append)
        sink(json.dumps("".join(parts).strip(), ensure_ascii=False))
    yield from scanner.space()
    if not (yield from scanner.accept(":")):
        return False
    sink(": ")
    return True


def _copy_word(
    scanner: TextScanner, sink: Sink, types: frozenset[str], *, is_inner: bool
) -> Parse[bool]:
    """Copy a number, a name, or a text without quotes."""
    parts: list[str] = []
    end = yield from scanner.until(_VALUE_END, parts.append)
    text = "".join(parts).strip()
    if not end or not text:
        sink("".join(parts))
        return False
    text = _WORDS.get(text, text)
    if _NUMBER.fullmatch(text):
        text = _number(text)
    sink(as_json(text, frozenset() if is_inner else types))
    return True


def _number(text: str) -> str:
    """Return a number of Python's as JSON writes it, or the text if it is none."""
    try:
        value = ast.literal_eval(_LEADING_ZEROS.sub(r"\1", text))
    except (ValueError, SyntaxError, MemoryError):
        return text
    if json_text.whole_value(text) is not None or not isinstance(value, int | float):
        return text
    return json.dumps(value) if math.isfinite(value) else text


def _copy_string(scanner: TextScanner, sink: Sink, *, is_inner: bool) -> Parse[bool]:
    quote = yield from scanner.accept(*_QUOTES)
    sink('"')
    while True:
        yield from scanner.copy(
            _PLAIN[quote], lambda text: sink(json_text.escaped(text))
        )
        char = yield from scanner.peek()
        if not char:
            return False
        if char == "\\":
            if not (yield from _copy_escape(scanner, sink)):
                return False
        elif (yield from scanner.at(quote)) and (
            yield from _ends_string(scanner, len(quote), is_inner=is_inner)
        ):
            scanner.take(len(quote))
            sink('"')
            return True
        else:
            sink(json_text.escaped(scanner.take(1)))


def _copy_escape(scanner: TextScanner, sink: Sink) -> Parse[bool]:
    kind = (yield from scanner.peek(2))[1:]
    if not kind:
        return False
    digits = (yield from scanner.peek(2 + _DIGITS.get(kind, 0)))[2:]
    if kind == "\n":
        scanner.take(2)
    elif kind in _ESCAPES:
        scanner.take(2)
        sink(json_text.escaped(_ESCAPES[kind]))
    elif kind in _DIGITS and _is_code_point(digits, _DIGITS[kind]):
        scanner.take(2 + len(digits))
        # Two of "\u" may be the halves of one character.
        is_half = kind == "u"
        sink(f"\\u{digits}" if is_half else json_text.escaped(chr(int(digits, 16))))
    else:
        sink(json_text.escaped(scanner.take(1)))
    return True


def _is_code_point(digits: str, count: int) -> bool:
    is_hex = len(digits) == count and all(c in "0123456789abcdefABCDEF" for c in digits)
    return is_hex and int(digits, 16) <= 0x10FFFF


def _ends_string(scanner: TextScanner, start: int, *, is_inner: bool) -> Parse[bool]:
    """Return whether the call goes on after the quote that ends at ``start``."""
    at, char = yield from _next(scanner, start)
    if not char or is_inner:
        return not char or char in ",:)]}"
    if char == ")":
        at, char = yield from _next(scanner, at + 1)
        return not char or char in "],;<"
    if char != ",":
        return False
    at, char = yield from _next(scanner, at + 1)
    if char == ")":
        return True
    while char and (char.isalnum() or char == "_") and at < _LOOK_AHEAD:
        at += 1
        char = (yield from scanner.peek(at + 1))[at:]
    at, char = yield from _next(scanner, at)
    return not char or char == "="


def _next(scanner: TextScanner, at: int) -> Parse[tuple[int, str]]:
    """Return the next place that is no white space, and its character."""
    while True:
        char = (yield from scanner.peek(at + 1))[at:]
        if not char.isspace() or at >= _LOOK_AHEAD:
            return at, char
        at += 1
