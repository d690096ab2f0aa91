"""Progress bars on a terminal or in a notebook."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Takes how much is done.
    Show = Callable[[float], None]


@contextmanager
def batch_bar(total: int, *, is_shown: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call for each answer, in one thread at a time."""
    done = 0

    with _bar("Generating", total, is_share=False, is_shown=is_shown) as show:

        def on_done() -> None:
            nonlocal done
            done += 1
            show(done)

        yield on_done


@contextmanager
def loading_bar(name: str, *, is_shown: bool) -> Iterator[Show]:
    """Yield what takes how much of a model is loaded, 0 to 1; any thread may call."""
    label = f"Loading {printable(name)}"
    with _bar(label, 1.0, is_share=True, is_shown=is_shown) as show:
        yield show


@contextmanager
def _bar(label: str, total: float, *, is_share: bool, is_shown: bool) -> Iterator[Show]:
    if not is_shown:
        yield lambda _done: None
        return
    # Imported here: it takes longer than the rest of the package.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda _done: None
        return
    columns = (
        # Square brackets in a name are no marks of rich's.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn() if is_share else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
