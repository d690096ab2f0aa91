"""A bar on the terminal while a model is loaded."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.remote.api_client import ApiClient, model_path
from llm_manager.lib.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from llm_manager.command_line.remote.connection import Connection

_POLL_S = 0.3


@contextlib.contextmanager
def load_progress(
    connection: Connection, model: str, *, is_shown: bool
) -> Iterator[None]:
    """Show the progress of a load meanwhile, if standard error is a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    done = threading.Event()
    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    thread = threading.Thread(
        target=_follow, args=(bar, connection, model, done), daemon=True
    )
    with bar:
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _follow(
    bar: Progress, connection: Connection, model: str, done: threading.Event
) -> None:
    # Its own client: the other one waits for the load.
    task = bar.add_task(f"Loading {printable(model)}", total=1.0)
    # The load itself says what is wrong.
    with ApiClient(connection) as client, contextlib.suppress(CommandFailed):
        while not done.wait(_POLL_S):
            found = client.get(model_path(model))
            bar.update(task, completed=found["progress"])
