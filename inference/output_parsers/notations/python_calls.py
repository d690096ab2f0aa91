"""Calls as Python writes them: ``NAME(KEY=VALUE, …)``, in a list."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from inference.output_parsers.notations import python
from inference.output_parsers.parameters import types_of_member

if TYPE_CHECKING:
    from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
    from inference.output_parsers.writer import DeltaWriter

_KEY = re.compile(r"[\w.-]*")


def read_python_calls(
    scanner: TextScanner, writer: DeltaWriter, end: Delimiters
) -> Parse[bool]:
    """Read calls up to the first text that is none. Return whether there were any.

    Arguments that cannot be understood are passed on as the model wrote them, up to
    ``end``. The scanner remembers what follows the last call.
    """
    is_any = False
    while True:
        yield from scanner.space()
        call = yield from scanner.accept(*(f"{name}(" for name in writer.tools))
        if not call:
            return is_any
        scanner.forget()
        is_any = True
        name = call.removesuffix("(")
        writer.begin(name)
        is_complete = yield from _read_arguments(scanner, writer, name)
        if not is_complete:
            yield from scanner.until(end, writer.arguments)
        writer.end()
        scanner.remember()
        if not is_complete:
            return True
        yield from scanner.space()
        yield from scanner.accept(",")


def _read_arguments(
    scanner: TextScanner, writer: DeltaWriter, tool: str
) -> Parse[bool]:
    before_key = "{"
    while True:
        yield from scanner.space()
        if (yield from scanner.accept(")")):
            writer.arguments("{}" if before_key == "{" else "}")
            return True
        key = yield from scanner.run(_KEY)
        yield from scanner.space()
        if not key or not (yield from scanner.accept("=")):
            return False
        writer.arguments(before_key + json.dumps(key, ensure_ascii=False) + ": ")
        before_key = ", "
        types = types_of_member(writer.tools[tool], key)
        if not (yield from python.copy_value(scanner, writer.arguments, types)):
            return False
        yield from scanner.space()
        yield from scanner.accept(",")
