"""Content with calls in it, marked where they begin: what most formats are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inference.output_parsers.text_scanner import Delimiters, Parse, TextScanner
from inference.output_parsers.writer import DeltaWriter

if TYPE_CHECKING:
    from collections.abc import Collection

#: Reads what follows a mark, if it is a call: then the scanner forgets.
ReadCall = Callable[[TextScanner, DeltaWriter, str], Parse[None]]


def read_content(
    scanner: TextScanner,
    writer: DeltaWriter,
    read_call: ReadCall,
    *,
    begin: Collection[str],
    silent: Collection[str] = (),
) -> Parse[None]:
    """Read content up to the end, and the calls in it.

    What stands after a mark of ``begin`` and is no call of one of the request's
    tools stays content, the mark too; reading goes on where it stopped to be a
    call, so that nothing is read twice. ``silent`` marks are never content.
    """
    dropped = Delimiters(*silent)
    marks = Delimiters(*dict.fromkeys([*silent, *(begin if writer.tools else ())]))
    while mark := (yield from scanner.until(marks, writer.content)):
        scanner.remember()
        scanner.take(len(mark))
        if mark in begin and writer.tools:
            yield from read_call(scanner, writer, mark)
        writer.content(dropped.removed_from(scanner.recall()))
