"""Rich output through a Django command's standard output."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.management.base import BaseCommand


@contextmanager
def rich_output(command: BaseCommand, options: dict[str, Any]) -> Iterator[Console]:
    """Yield a console whose text goes to the command's output at the end.

    Colours are for terminals, unless the options say otherwise; lines in a file or a
    pipe are not wrapped, and end where their text ends.
    """
    is_terminal = command.stdout.isatty()
    colour = is_terminal or options["force_color"]
    has_colour = colour and not options["no_color"]
    console = Console(
        force_terminal=has_colour,
        color_system="auto" if has_colour else None,
        width=None if is_terminal else 10_000,
    )
    with console.capture() as capture:
        yield console
    text = capture.get()
    if not is_terminal:
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    command.stdout.write(text, ending="")
