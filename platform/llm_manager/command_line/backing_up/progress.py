"""A bar on the terminal while rows are written or read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def row_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """Yield what counts rows of a model, shown if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _model, _rows: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda model, rows: bar.update(task, advance=rows, description=model)
