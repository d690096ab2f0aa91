"""``manage.py run_downloads``: the downloads that were asked for, in a process.

The engine process of a machine starts it when downloads wait, and it exits some time
after the last one.
"""

from __future__ import annotations

import fcntl
import platform
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from llm_manager.lib.processes.parent_death import end_with_parent
from registry.downloads.running import DownloadRunner

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(BaseCommand):
    help = "Run the downloads that were requested, then exit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--parent", type=int, metavar="PID", help="End when this process is gone."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        is_stopping = False

        def stop(_number: int, _frame: object) -> None:
            nonlocal is_stopping
            is_stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if options["parent"]:
            end_with_parent(options["parent"], signal.SIGTERM)
        with _only_here():
            DownloadRunner(platform.node(), is_stopping=lambda: is_stopping).run()


@contextmanager
def _only_here() -> Iterator[None]:
    """Hold this machine's lock for downloads. Raises CommandError.

    The system gives it back when the process ends, however it ends.
    """
    path = settings.DATA_DIR / f"downloads-{platform.node()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("Another process downloads on this machine.") from None
        yield
