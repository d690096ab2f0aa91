"""A bar on the terminal while files come: bytes, speed, the time that is left."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Takes the bytes that are here, and those of all files, if known.
    Show = Callable[[int, int | None], None]


@contextmanager
def download_bar(name: str, *, is_shown: bool) -> Iterator[Show]:
    """Yield what shows the progress, if standard error is a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        # Square brackets are rich's own marks.
        label = printable(name).rpartition("/")[2].replace("[", r"\[")
        task = bar.add_task(label, total=None)
        is_first = True

        def show(done: int, total: int | None) -> None:
            nonlocal is_first
            if is_first:
                # What was here before has no speed.
                bar.reset(task, completed=done, total=total)
                is_first = False
            bar.update(task, completed=done, total=total)

        yield show
