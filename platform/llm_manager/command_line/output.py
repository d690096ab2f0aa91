"""What verbs print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Function = TypeVar("_Function", bound="Callable[..., object]")
#: Lines are not wrapped in a file or a pipe.
_ENDLESS = 10_000


def json_option(function: _Function) -> _Function:
    """Add ``--json``."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return option(function)


def alias_option(function: _Function) -> _Function:
    """Add ``--alias``, which may be given again."""
    option = click.option(
        "--alias",
        "aliases",
        multiple=True,
        help="Another name that requests may use; an * stands for any characters.",
    )
    return option(function)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(value: Any) -> None:
    """Print a line as it comes, an object as JSON in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    click.echo(text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = ""
) -> None:
    """Print a table; the columns named in ``right`` hold numbers.

    ``None`` is a dash.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = column in right.split(",")
        table.add_column(
            column.upper(),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _ENDLESS, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line if is_terminal else line.rstrip())


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; without those that are None."""
    known = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {_cell(value)}")


def minute(moment: str | None) -> str | None:
    """Return an ISO time up to its minute: ``2026-11-29 18:00``."""
    return moment and moment[:16].replace("T", " ")


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))
