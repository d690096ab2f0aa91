"""Content with tagged calls in it: what most formats are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
from inference.output_parsers.writer import DeltaWriter

if TYPE_CHECKING:
    from collections.abc import Collection

#: Reads what follows a tag. If it is a call, the reader makes the scanner ``forget``.
ReadCall = Callable[[TextScanner, DeltaWriter, str], Parse[None]]


def read_content(
    scanner: TextScanner,
    writer: DeltaWriter,
    read_call: ReadCall,
    *,
    begin: Collection[str],
    silent: Collection[str] = (),
) -> Parse[None]:
    """Read content and the calls in it, up to the end of the text.

    A tag of ``begin`` that no call of the request's tools follows is content, and so is
    the text after it. Reading continues where the text stopped to be a call, so nothing
    is read twice. ``silent`` tags are never content.
    """
    dropped = Delimiters(*silent)
    delimiters = Delimiters(*dict.fromkeys([*silent, *(begin if writer.tools else ())]))
    while tag := (yield from scanner.until(delimiters, writer.content)):
        scanner.remember()
        scanner.take(len(tag))
        if tag in begin and writer.tools:
            yield from read_call(scanner, writer, tag)
        writer.content(dropped.removed_from(scanner.recall()))
